"""What a model must know of images: their size, channels and normalisation."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ssl_cli.augment.augment import Augment
from ssl_cli.data.info import require
from ssl_cli.data.pixels import PixelInfo, require_counts
from ssl_cli.errors import UserError
from ssl_cli.photos import Photos


@dataclass(frozen=True)
class ImageInfo(PixelInfo):
    """Facts about images that a method or pretext may need when it is built."""

    kind: ClassVar[str] = "image"
    noun: ClassVar[str] = "image"
    how_to_label: ClassVar[str] = "put the images into one folder a class"

    name: str
    channels: int  # 1 or 3
    image_size: int  # pixels, height = width, of what a network sees
    classes: tuple[str, ...]  # () without labels
    images: int  # stored images of all splits; a batch's indices are below this
    train_size: int  # images in the train split
    labelled: int  # of those, how many a method may see the label of
    mean: tuple[float, ...]  # per channel, of pixels in [0, 1], on the train split
    std: tuple[float, ...]
    value_range: dict[str, list[float]] | None = None  # as in `ImageData`: of files of more than 8 bits
    splits: str = ""  # fingerprint of which images are in which split, with their labels
    stored_size: int | None = None  # pixels of the shorter side, as stored; None: image_size
    keep_aspect: bool = False  # whether images are stored whole

    @property
    def seen(self) -> int:
        """Side of the square that a network sees, in pixels."""
        return self.image_size

    @property
    def seen_own(self) -> int | None:
        """Likewise; None: it is as large as what is stored."""
        return None if self.stored_size is None else self.image_size

    @classmethod
    def check_seen(cls, seen: Any) -> None:
        """Raise ``UserError`` where a size is none; None is as stored."""
        if seen is not None and (type(seen) is not int or seen < 1):
            raise UserError(f"pretext.size={seen} is neither a number of pixels nor null")

    @property
    def stored_side(self) -> int:
        """The shorter side of what is stored, in pixels."""
        return self.stored_size or self.image_size

    @property
    def size_key(self) -> str:
        """The setting that decides ``image_size``, for advice."""
        return "dataset.storage_size" if self.stored_size is None else "pretext.size"

    @property
    def shape(self) -> str:
        """The shape of one input, as it is shown to people."""
        return f"{self.channels}x{self.image_size}x{self.image_size} pixels"

    @property
    def at_once(self) -> int:
        """512 images of a forward pass; of more than 64 pixels fewer, which take as much memory."""
        # A trial of sizes would gain nothing: at 224 pixels 32 and 64 images are equally fast, and 16 take 12 % longer.
        return max(8, 512 * 64**2 // max(64**2, self.image_size**2))

    def views(
        self,
        augment: Augment,
        rows: Tensor | Photos,
        generator: torch.Generator,
        count: int = 1,
        size: int | None = None,
    ) -> list[Tensor]:
        """Return ``count`` independently augmented versions, each [B, C, size, size] float, normalised."""
        return augment(rows, self.mean, self.std, generator, views=count, size=size or self.image_size)

    def visible(self, view: Tensor) -> Tensor:
        """Return a normalised view [B, C, h, w] as pixels in [0, 1]."""
        return self.unnormalised(view)

    def for_network(self, asks: Callable[[str], bool]) -> dict[str, Any]:
        """Return the channels, and the side of the images in pixels where the constructor asks for ``image_size``."""
        size = {"image_size": self.image_size} if asks("image_size") else {}
        return {"in_channels": self.channels, **size}

    def check_backbone(self, backbone: Any) -> None:
        """Raise ``UserError`` where the images are too small for a backbone."""
        if self.image_size < backbone.min_size:
            raise UserError(
                f"this backbone needs images of at least {backbone.min_size} pixels, {self.name} has "
                f"{self.image_size}; write {self.size_key}={backbone.min_size} or backbone=convnet"
            )

    def settings(self, node: Mapping[str, Any], typed: Collection[str]) -> dict[str, Any]:
        """Return the size, the channels, whether images are whole, and the range of values."""
        wanted = {"storage_size": self.stored_side, "channels": self.channels, "keep_aspect": self.keep_aspect}
        fitted: dict[str, Any] = {name: value for name, value in wanted.items() if name in node and name not in typed}
        if self.value_range and "value_range" not in typed and node.get("value_range", 0) is None:
            fitted["value_range"] = self.value_range  # a key of the node: a set of other images than files has none
        return fitted

    def fitted(self, data: Any, typed: Collection[str], key: str) -> tuple[Any, str]:
        """Return images at the size and with the channels of these; see `DataInfo.fitted`."""
        side = self.stored_side
        refused = [name for name in ("storage_size", "channels") if name in typed]
        if refused and (data.channels, data.stored_size) != (self.channels, side):
            raise UserError(
                f"the checkpoint's backbone was trained on {self.channels}x{side}x{side} images "
                f"({self.name}), {data.name} has {data.channels}x{data.stored_size}x{data.stored_size}; leave "
                f"{' and '.join(f'{key}.{name}' for name in refused)} out: the images are stored as the run's were"
            )
        if (data.channels, data.stored_size) != (self.channels, side):  # it could not do so itself
            data = data.restored(self.channels, side).seen_at(self.image_size)
        colours = "grey" if self.channels == 1 else "RGB"
        how = f"whole, the shorter side at {side} pixels" if data.keep_aspect else f"at {side}x{side} pixels"
        normalised = f"normalised as the {self.name} images that the run was trained on"
        return data, f"stored {how}, {colours}, and {normalised}"

    @property
    def metadata(self) -> dict[str, str]:
        """The size, the channels and the normalisation."""
        sizes = {"image_size": str(self.image_size), "channels": str(self.channels)}
        return {**sizes, "mean": json.dumps(self.mean), "std": json.dumps(self.std)}

    def check(self, values: Mapping[str, Any]) -> None:
        """Raise ``ValueError`` for a size, channels or normalisation that none is."""
        super().check(values)
        if self.stored_size is not None:
            require_counts(self, ["stored_size"], values)
        require(type(self.keep_aspect) is bool, "keep_aspect", values)
