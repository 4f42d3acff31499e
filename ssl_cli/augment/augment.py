"""An augmentation recipe applied to a whole batch, all its views in one pass, on the batch's device."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ssl_cli.augment import colour, draw, geometry
from ssl_cli.augment.boxes import crop_resize_each
from ssl_cli.augment.recipe import Affine, Blur, Crop, Jitter, PadCrop, Solarize, parse
from ssl_cli.augment.subset import apply_where, each
from ssl_cli.errors import UserError
from ssl_cli.photos import Photos

Settings = Mapping[str, Any] | None


class Augment:
    """Random changes that keep the content of an image.

    Every image of every view draws its own parameters; the frames of a clip share theirs. The operations run in the
    order of the arguments, each equal to torchvision's, and each at its own probability: ``p``, or the number itself
    for ``flip``, ``vertical_flip`` and ``grey``. Settings and their units are in conf/augment/none.yaml; None or 0
    leaves an operation out.
    """

    def __init__(
        self,
        *,
        affine: Settings = None,
        pad_crop: Settings = None,
        crop: Settings = None,
        flip: float = 0.0,
        vertical_flip: float = 0.0,
        jitter: Settings = None,
        grey: float = 0.0,
        blur: Settings = None,
        solarize: Settings = None,
        noise: float = 0.0,
    ):
        self.affine = parse(Affine, "affine", affine)
        self.pad_crop = parse(PadCrop, "pad_crop", pad_crop)
        self.crop = parse(Crop, "crop", crop)
        self.flip = flip
        self.vertical_flip = vertical_flip
        self.jitter = parse(Jitter, "jitter", jitter)
        self.grey = grey
        self.blur = parse(Blur, "blur", blur)
        self.solarize = parse(Solarize, "solarize", solarize)
        self.noise = noise
        self.fused: Callable | None = None  # see ssl_cli.augment.fused

    @property
    def cuts_photos(self) -> bool:
        """Whether views are cut from whole photos: some are crops, and no operation moves the image before the crop."""
        return self.crop.p > 0 and not self.affine.p and not self.pad_crop.p

    def cropped(self, scale: Sequence[float], key: str = "crop.scale") -> "Augment":
        """Return the same recipe with a crop in every view; its area lies in ``scale``, as a fraction of the image's.

        Raises:
            UserError: ``scale`` is not a range within (0, 1]; the message names it ``key``.
        """
        other = copy.copy(self)
        try:
            other.crop = replace(self.crop, scale=tuple(scale), p=1.0)
        except UserError as error:
            raise UserError(str(error).replace("crop.scale", key)) from error
        return other

    def __call__(
        self,
        images: Tensor | Photos,
        mean: Sequence[float] | Tensor,
        std: Sequence[float] | Tensor,
        generator: torch.Generator,
        views: int = 1,
        size: int | None = None,
    ) -> list[Tensor]:
        """Return ``views`` independent versions of the images, each [B, C, size, size] float, normalised.

        Of clips [B, T, C, H, W] they are [B, T, C, size, size]: each clip draws once, and all of its frames are changed
        alike; only the noise of each pixel is its own.

        Args:
            images: [B, C, H, W] uint8, C = 1 or 3, or clips. Crops of `Photos` come from anywhere; if the recipe has no
                crop, or moves images before it, it takes their centre squares.
            mean: [C] that ``normalize`` subtracts, in units of [0, 1].
            std: [C] that it divides by.
            generator: the only source of randomness. A generator on the CPU saves a GPU every synchronisation.
            views: number of versions.
            size: of the views, in pixels; None keeps H x W, or the shorter side of photos.
        """
        # Autocast would do the resampling in half precision.
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            if isinstance(images, Photos) and self.cuts_photos:
                size = size or images.side
                x = self._cut(images.repeat(views), (size, size), generator)
            else:
                images = images.squares() if isinstance(images, Photos) else images
                x = images.float().div_(255).repeat(views, *[1] * (images.ndim - 1))
                x = x.flatten(1, -3)  # frames move as channels of one image do
                x = self._warp(x, generator)
                x = self._shift(x, generator)
                x = self._reframe(x, (size, size) if size else tuple(x.shape[2:]), generator)
            frames = images.shape[1] if isinstance(images, Tensor) and images.ndim == 5 else None
            x = x if frames is None else x.unflatten(1, (frames, -1)).flatten(0, 1)
            x = self._recolour(x, generator, frames or 1)
            x = self._degrade(x, generator, frames or 1)
            x = colour.normalize(x, mean, std).contiguous()
            return list((x if frames is None else x.unflatten(0, (-1, frames))).split(len(images)))

    def _warp(self, x: Tensor, generator: torch.Generator) -> Tensor:
        if not self.affine.p:
            return x
        n, (height, width), a = len(x), x.shape[2:], self.affine
        angle = draw.uniform(n, -a.degrees, a.degrees, generator)
        # torchvision rounds to whole pixels; this does not: on an 8-pixel digit one pixel is a large step.
        shift = draw.uniform(n, -a.translate, a.translate, generator, width=2)
        shift = shift * shift.new_tensor([width, height])
        scale = draw.uniform(n, *a.scale, generator)
        shear = draw.uniform(n, -a.shear, a.shear, generator)
        shear = torch.stack([shear, torch.zeros_like(shear)], dim=1)
        chosen = draw.chance(n, a.p, generator)
        return apply_where(chosen, x, lambda *args: geometry.affine(*args, fill=a.fill), angle, shift, scale, shear)

    def _shift(self, x: Tensor, generator: torch.Generator) -> Tensor:
        if not self.pad_crop.p:
            return x
        n = len(x)
        pads = [min(round(self.pad_crop.pad * side), side - 1) for side in x.shape[2:]]
        places = [draw.whole(n, 2 * pad + 1, generator) - pad for pad in pads]
        chosen = draw.chance(n, self.pad_crop.p, generator)
        black = self.pad_crop.border == "black"
        return apply_where(chosen, x, lambda *args: geometry.shift(*args, black=black), *places)

    def _reframe(self, x: Tensor, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        n, (height, width) = len(x), x.shape[2:]
        flip, upside_down = draw.chance(n, self.flip, generator), draw.chance(n, self.vertical_flip, generator)
        if not self.crop.p and size == (height, width):
            x = apply_where(flip, x, lambda rows: rows.flip(3))
            return apply_where(upside_down, x, lambda rows: rows.flip(2))
        boxes = draw.crop_boxes(n, height, width, self.crop.scale, self.crop.ratio, generator)
        boxes[~draw.chance(n, self.crop.p, generator)] = boxes.new_tensor([0, 0, height, width])
        return geometry.crop_resize(x, boxes, size, flip, upside_down, self.crop.interpolation == "bicubic")

    def _cut(self, photos: Photos, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        n, side = len(photos), photos.side
        flip, upside_down = draw.chance(n, self.flip, generator), draw.chance(n, self.vertical_flip, generator)
        height, width = photos.heights, photos.widths
        boxes = draw.crop_boxes(n, height, width, self.crop.scale, self.crop.ratio, generator)
        corner = [((length - side) / 2).round() for length in (height, width)]
        square = torch.stack([*corner, *[torch.full((n,), side)] * 2], dim=1).to(boxes)
        boxes = torch.where(draw.chance(n, self.crop.p, generator).unsqueeze(1), boxes, square)
        return crop_resize_each(photos, boxes, size, flip, upside_down, self.crop.interpolation == "bicubic")

    def _recolour(self, x: Tensor, generator: torch.Generator, frames: int) -> Tensor:
        n, rgb, j = len(x) // frames, x.shape[1] == 3, self.jitter
        ranges = [
            (colour.brightness, max(0.0, 1 - j.brightness), 1 + j.brightness),
            (colour.contrast, max(0.0, 1 - j.contrast), 1 + j.contrast),
        ]
        if rgb:
            ranges += [(colour.saturation, max(0.0, 1 - j.saturation), 1 + j.saturation), (colour.hue, -j.hue, j.hue)]
        operations = [(op, draw.uniform(n, low, high, generator)) for op, low, high in ranges if low < high]
        order = grey = None
        if j.p and operations:
            order = draw.orders(n, len(operations), generator)
            order[~draw.chance(n, j.p, generator)] = -1
        if self.grey and rgb:
            grey = draw.chance(n, self.grey, generator)
        operations = [(op, each(frames, parameter)) for op, parameter in operations]
        order, grey = each(frames, order), each(frames, grey)
        if self.fused is not None:
            return self.fused(x, operations, order, grey)
        if order is not None:
            x = colour.color_jitter(x, operations, order)
        return x if grey is None else apply_where(grey, x, colour.grayscale)

    def _degrade(self, x: Tensor, generator: torch.Generator, frames: int) -> Tensor:
        n = len(x) // frames
        if self.blur.p:
            sigma = each(frames, draw.uniform(n, *self.blur.sigma, generator))
            kernel = self.blur.width(x.shape[3])
            chosen = each(frames, draw.chance(n, self.blur.p, generator))
            x = apply_where(chosen, x, lambda rows, s: colour.gaussian_blur(rows, s, kernel), sigma)
        if self.solarize.p:
            chosen = each(frames, draw.chance(n, self.solarize.p, generator))
            x = apply_where(chosen, x, lambda rows: colour.solarize(rows, self.solarize.threshold))
        if self.noise:
            x = colour.gaussian_noise(x, self.noise, generator)
        return x
