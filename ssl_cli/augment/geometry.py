"""Geometric operations on a batch, one set of parameters per image; images are [B, C, H, W] float in [0, 1]."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.system.transfer import constant, send


def crop_resize(
    images: Tensor,
    boxes: Tensor,
    out_size: tuple[int, int],
    flip: Tensor | None = None,
    vertical_flip: Tensor | None = None,
    bicubic: bool = False,
) -> Tensor:
    """Resize one box of each image to ``out_size`` (height, width), antialiased, and mirror chosen images.

    ``boxes`` [B, 4] are top, left, height and width in pixels; ``flip`` and ``vertical_flip`` [B] bool mirror the
    result left to right and upside down. Equals torchvision's ``resized_crop(antialias=True)`` to 1e-5; ``bicubic``
    overshoots at edges, and values are clipped to [0, 1], as in images of bytes. Resizing is linear and separable, so
    the whole batch is two matrix products, even if the boxes differ much.
    """
    boxes = send(boxes, images.device, images.dtype)
    top, left, height, width = boxes.unbind(1)
    rows = _resize_weights(top, height, images.shape[2], out_size[0], vertical_flip, bicubic)
    columns = _resize_weights(left, width, images.shape[3], out_size[1], flip, bicubic)
    resized = separable(images, rows, columns)
    return resized.clamp_(0, 1) if bicubic else resized


def shift(images: Tensor, down: Tensor, right: Tensor, black: bool = False) -> Tensor:
    """Return each image through a frame that moves by whole pixels, ``down`` and ``right`` [B] int64.

    Beyond its rim an image continues mirrored, without its outermost row twice (numpy's ``reflect``), or ``black``. All
    other pixels are the image's, bit for bit. A mirrored shift is at most the side less one.
    """
    for dim, by in ((2, down), (3, right)):
        side = images.shape[dim]
        place = torch.arange(side, device=images.device) + send(by, images.device).view(-1, 1)  # [B, side]
        inside = (side - 1) - ((side - 1) - place.abs()).abs()  # mirrored at 0 and at side - 1
        shape = [len(images), 1, side, 1] if dim == 2 else [len(images), 1, 1, side]
        moved = images.gather(dim, inside.view(shape).expand_as(images))
        images = moved.masked_fill_((place != inside).view(shape), 0.0) if black else moved
    return images


def affine(images: Tensor, angle: Tensor, translate: Tensor, scale: Tensor, shear: Tensor, fill: float = 0.0) -> Tensor:
    """Rotate, shear, scale and shift each image about its centre, bilinearly.

    ``angle`` [B] degrees clockwise; ``translate`` [B, 2] pixels right and down; ``scale`` [B] > 0; ``shear`` [B, 2]
    degrees along x and y; ``fill`` is the value in [0, 1] outside the image. Equals torchvision's
    ``affine(interpolation=BILINEAR, fill=fill)`` to 1e-5.
    """
    height, width = images.shape[2:]
    angle, translate, scale, shear = (send(v, images.device, images.dtype) for v in (angle, translate, scale, shear))
    rotation, (shear_x, shear_y) = torch.deg2rad(angle), torch.deg2rad(shear).unbind(1)

    # Forward map: translate . rotate . scale . shear; its inverse gives the source of each output pixel.
    a = torch.cos(rotation - shear_y) / torch.cos(shear_y)
    b = -a * torch.tan(shear_x) - torch.sin(rotation)
    c = torch.sin(rotation - shear_y) / torch.cos(shear_y)
    d = -c * torch.tan(shear_x) + torch.cos(rotation)
    inverse = torch.stack([d, -b, -c, a], dim=1).view(-1, 2, 2) / scale.view(-1, 1, 1)  # the determinant is 1

    y = torch.arange(height, device=images.device, dtype=images.dtype) - (height - 1) / 2
    x = torch.arange(width, device=images.device, dtype=images.dtype) - (width - 1) / 2
    target = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).view(1, -1, 2) - translate.unsqueeze(1)
    source = target @ inverse.mT / constant((width / 2, height / 2), images)  # in [-1, 1] across the image

    # As in torchvision, an extra channel of ones shows how much of each output pixel comes from inside.
    inside = images.new_ones(images.shape[0], 1, height, width)
    grid = source.view(-1, height, width, 2)
    sampled = F.grid_sample(torch.cat([images, inside], 1), grid, padding_mode="zeros", align_corners=False)
    sampled, inside = sampled[:, :-1], sampled[:, -1:]
    return sampled * inside + fill * (1 - inside)


def separable(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Apply per-image weights down the rows [B, H', H] and along the columns [B, W', W]: [B, C, H', W']."""
    batch, channels, height, width = images.shape
    # With the channels between height and width both are plain batched products; the result is a permuted view.
    wide = images.transpose(1, 2).reshape(batch, height * channels, width) @ columns.mT
    return (rows @ wide.view(batch, height, -1)).view(batch, len(rows[0]), channels, -1).transpose(1, 2)


def _resize_weights(
    start: Tensor, length: Tensor, size: int, out: int, flip: Tensor | None = None, bicubic: bool = False
) -> Tensor:
    """Return [B, out, size]: how much each input pixel counts in each output pixel, for the boxes start, length [B].

    If ``flip`` [B] bool is True, the output is reversed.

    A triangle filter (or Keys' cubic, a = -1/2) as wide as an output pixel, and at least as an input pixel. It reads
    nothing outside the box, as if the box were cut out first.
    """
    start, length = start.view(-1, 1, 1), length.view(-1, 1, 1)
    step = length / out  # input pixels per output pixel
    pixel = torch.arange(size, device=start.device, dtype=start.dtype)
    place = torch.arange(out, device=start.device, dtype=start.dtype).unsqueeze(1) + 0.5
    if flip is not None:
        place = torch.where(send(flip, start.device).view(-1, 1, 1), out - place, place)
    centre = start + place * step
    distance = (pixel + 0.5 - centre).abs() / step.clamp_min(1)
    weights = _cubic(distance) if bicubic else (1 - distance).clamp_min_(0)
    weights = weights * ((pixel >= start.floor()) & (pixel < (start + length).ceil()))
    return weights / weights.sum(2, keepdim=True)


def _cubic(x: Tensor) -> Tensor:
    """Return Keys' kernel (1981) at a = -1/2, as used by Pillow, torch and TensorFlow to resize; ``x`` >= 0."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
