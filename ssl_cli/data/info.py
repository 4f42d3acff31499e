"""What a model must know of its data; stored in every checkpoint, so that a checkpoint alone rebuilds its model."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ssl_cli.errors import UserError


@dataclass(frozen=True)
class DataInfo:
    """Facts about the data that a method or pretext may need when it is built."""

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
    def size(self) -> int | None:
        """What a network's input is brought to, as `dataset.load` takes it; None: it is as large as what is stored."""
        return None if self.stored_size is None else self.image_size

    @property
    def size_key(self) -> str:
        """The setting that decides ``image_size``, for advice."""
        return "dataset.storage_size" if self.stored_size is None else "pretext.size"

    @property
    def shape(self) -> str:
        """The shape of one input, as it is shown to people."""
        return f"{self.channels}x{self.image_size}x{self.image_size} pixels"

    def check_fits_weights_of(self, other: "DataInfo", setting: str) -> None:
        """Raise ``UserError`` where weights that were trained on the data of ``other`` cannot take these.

        Args:
            other: what they were trained on.
            setting: that brought them, as it was typed.
        """
        if other.channels != self.channels:
            raise UserError(
                f"{setting} was trained on images of {other.channels} channels, {self.name} has {self.channels}; "
                f"write dataset.channels={other.channels}"
            )

    def differing(self, stored: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Return the facts that are not as in a checkpoint: name -> (there, here). An older one lacks some defaults."""
        before = {field.name: field.default for field in fields(self)} | dict(stored)
        return {key: (before[key], value) for key, value in self.to_dict().items() if before[key] != value}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for a checkpoint."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "DataInfo":
        """Rebuild from ``to_dict``'s values.

        Raises:
            ValueError: a value is not of its kind; a checkpoint may be anybody's.
        """
        info = cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
        for name, kind in (("name", str), ("splits", str), ("classes", tuple), ("mean", tuple), ("std", tuple)):
            _require(type(getattr(info, name)) is kind, name, values)
        for name, least in (("channels", 1), ("image_size", 1), ("images", 0), ("train_size", 0), ("labelled", 0)):
            value = getattr(info, name)
            _require(type(value) is int and value >= least, name, values)
        stored = info.stored_size
        _require(stored is None or type(stored) is int and stored >= 1, "stored_size", values)
        _require(type(info.keep_aspect) is bool, "keep_aspect", values)
        _require(all(type(name) is str for name in info.classes), "classes", values)
        for name in ("mean", "std"):
            numbers = getattr(info, name)
            plain = all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
            _require(plain and len(numbers) == info.channels, name, values)
        _require(all(number > 0 for number in info.std), "std", values)
        return info


def for_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Return a mean or std for so many channels: for grey images the mean of the three of colour.

    A network that was trained in colour takes grey images by the sum of its first convolution over the three.
    """
    return (sum(values) / 3,) if channels == 1 and len(values) == 3 else values


def _require(holds: bool, name: str, values: dict[str, Any]) -> None:
    if not holds:
        raise ValueError(f"data.{name} cannot be {repr(values.get(name))[:40]}")
