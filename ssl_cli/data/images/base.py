"""What every data set of images becomes: all of its images in one uint8 buffer, its labels and its splits."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.data.base import Data, in_words
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.data.images.raw import Pixels
from ssl_cli.data.images.rows import Rows
from ssl_cli.data.images.squares import Squares
from ssl_cli.data.pixels import normalisation, statistics
from ssl_cli.errors import UserError
from ssl_cli.photos import Photos

STATS_IMAGES = 10_000  # images that the channel statistics are taken over, at most


@dataclass(frozen=True)
class ImageData(Data):
    """Images as stored, in memory or memory-mapped; read only.

    The source of a data set may leave ``val`` and ``test`` out of ``splits``, and may have `Photos` for images;
    `dataset.load` completes the splits, and makes them what a network sees.
    """

    kind: ClassVar[str] = "image"
    noun: ClassVar[str] = "image"
    alike: ClassVar[str] = "pixel for pixel"
    how_to_test: ClassVar[str] = "dataset.test_fraction, or the folder test/"
    labelled_like_it: ClassVar[dict[str, str]] = {"dataset": "folder", "dataset.root": "LABELLED_DIR"}

    name: str
    images: Tensor | Squares | Photos  # [N, C, H, W] uint8: what a network sees of an image that is not augmented
    labels: Tensor  # [N] int64; -1 = no human label
    classes: tuple[str, ...]  # names by label; () when there are no labels
    splits: dict[str, Tensor]  # "train", "val", "test": disjoint sorted int64 positions; val and test may be empty
    factors: dict[str, Tensor] = field(default_factory=dict)  # name -> [N] floats, NaN = not known: targets
    files: tuple[str, ...] = ()  # [N] paths, where images come from files
    groups: Tensor | None = None  # [N] int64: images of one patient, video, site ... have one number; -1 = of no group
    skipped: int = 0  # broken files that were left out
    value_range: dict[str, list[float]] | None = None  # "integer", "float", "all" -> what became 0 and 255
    note: str = ""  # one line for the user: how the source was read
    mapped: str = ""  # the file that the images are mapped from; "": they are in memory
    stored: Tensor | Photos | None = None  # what is more than ``images`` and views are cut from; None: there is no more

    @property
    def inputs(self) -> Tensor | Squares | Photos:
        """The images."""
        return self.images

    @property
    def cut_from(self) -> Tensor | Photos:
        """[N, C, H, W] uint8 or whole photos: what views are cut from."""
        return self.images if self.stored is None else self.stored

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (RGB)."""
        return self.images.shape[1]

    @property
    def image_size(self) -> int:
        """Side of the square that a network sees, in pixels."""
        return self.images.shape[-1]

    @property
    def stored_size(self) -> int:
        """Shorter side of the images as stored, in pixels."""
        return self.cut_from.side if self.keep_aspect else self.cut_from.shape[-1]

    @property
    def keep_aspect(self) -> bool:
        """Whether the images are stored whole, not as squares."""
        return isinstance(self.cut_from, Photos)

    @property
    def storage(self) -> str:
        """How the images are stored, and what that takes, in words."""
        what = "whole, the shorter side" if self.keep_aspect else "squares of"
        return f"{what} {self.stored_size} pixels, {in_words(self.cut_from.nbytes, self.mapped)}"

    def how_views_are_cut(self, anywhere: bool) -> str:
        """Return that only the centre squares of whole images are seen, where that is so."""
        return "; views are of the centre squares, for they are no crops" * (self.keep_aspect and not anywhere)

    @property
    def shape(self) -> str:
        """The shape of one image, as `DataInfo.shape` has it."""
        return f"{self.channels}x{self.image_size}x{self.image_size} pixels"

    def seen_at(self, how: int | None) -> "ImageData":
        """Return the data with images as a network sees them at a size (None: as stored): the centre squares."""
        stored, size = self.cut_from, how or self.stored_size
        if size == self.stored_size and not self.keep_aspect:
            return replace(self, images=stored, stored=None)
        return replace(self, images=Squares(stored, size), stored=stored)

    def restored(self, channels: int, side: int) -> "ImageData":
        """Return the data stored as squares of another size, with other channels."""
        return replace(self, images=resize(to_channels(self.cut_from, channels), side), stored=None)

    def info(self, node: Mapping[str, Any], **common: Any) -> ImageInfo:
        """Return the facts of the images; see `Data.info`."""
        mean, std = normalisation(pixel_stats(self), self.channels, node)
        return ImageInfo(
            channels=self.channels,
            image_size=self.image_size,
            mean=mean,
            std=std,
            value_range=self.value_range,
            stored_size=None if self.stored_size == self.image_size else self.stored_size,
            keep_aspect=self.keep_aspect,
            **common,
        )

    def raw(self, info: ImageInfo) -> Pixels:
        """Return the raw pixels as features."""
        return Pixels(info.channels, info.image_size, info.mean, info.std)

    def contents(self) -> Tensor | Rows:
        """Return the bytes of each image as stored."""
        return Rows(self.cut_from) if isinstance(self.cut_from, Photos) else self.cut_from.flatten(1)

    def shown(self, at: Tensor) -> Tensor:
        """Return images [n, C, size, size] in [0, 1] as they are stored; whole ones made to fit, white beside them."""
        return framed(self, at).float().div(255)

    def pictures(self, at: Tensor) -> list[Tensor]:
        """Return the images [C, size, size] uint8 as a network sees them."""
        return [self.images[i] for i in at.tolist()]


def framed(data: ImageData, at: Tensor) -> Tensor:
    """Return images [n, C, size, size] uint8 as they are stored; whole ones are made to fit, white beside them."""
    if not data.keep_aspect:
        return data.images[at]
    size = data.image_size
    canvas = torch.full((len(at), data.channels, size, size), 255, dtype=torch.uint8)
    for frame, image in zip(canvas, data.cut_from[at], strict=True):
        height, width = (max(1, round(size * side / max(image.shape))) for side in image.shape[1:])
        top, left = (size - height) // 2, (size - width) // 2
        small = F.interpolate(image[None], (height, width), mode="bicubic", antialias=True)[0]
        frame[:, top : top + height, left : left + width] = small
    return canvas


def pixel_stats(data: ImageData) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation of each channel, in units where 255 is 1.

    Taken over at most 10,000 evenly spaced training images, so that they do not need the whole of a memory-mapped file;
    of whole images over the centre squares. See `statistics`.
    """
    stored = Squares(data.cut_from, data.stored_size) if data.keep_aspect else data.cut_from
    train = data.splits["train"]
    rows = train[torch.linspace(0, len(train) - 1, min(len(train), STATS_IMAGES)).round().long()]
    return statistics(stored[chunk] for chunk in rows.split(256))


def to_channels(images: Tensor, channels: int | None) -> Tensor:
    """Turn grey images into RGB or the other way round (ITU-R 601 luma, as Pillow); None leaves them as they are.

    Args:
        images: [N, 1 or 3, H, W] uint8.
        channels: 1, 3 or None.

    Raises:
        UserError: for any other number.
    """
    if channels is None or channels == images.shape[1]:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1).contiguous()
    if channels != 1:
        raise UserError(f"dataset.channels={channels} is neither 1 (grey) nor 3 (RGB)")
    grey = images.new_empty((len(images), 1, *images.shape[2:]))
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    for start in range(0, len(images), 1024):
        chunk = images[start : start + 1024].float()
        grey[start : start + 1024] = (chunk * weights).sum(1, keepdim=True).round_().to(torch.uint8)
    return grey


def resize(images: Tensor, size: int) -> Tensor:
    """Resize square images [N, C, H, H] uint8 to [N, C, size, size] uint8, bicubic with antialiasing."""
    if images.shape[-1] == size:
        return images
    resized = images.new_empty((*images.shape[:2], size, size))
    count = max(1, (1 << 25) // images[0].numel()) if len(images) else 1  # a float copy of all could be too large
    for start in range(0, len(images), count):
        chunk = images[start : start + count].float()
        chunk = F.interpolate(chunk, (size, size), mode="bicubic", antialias=True, align_corners=False)
        resized[start : start + count] = chunk.round_().clamp_(0, 255).to(torch.uint8)
    return resized
