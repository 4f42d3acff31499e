"""What inputs made of pixels share, whether images or the frames of clips: channels and their normalisation."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ssl_cli.augment.colour import to_input
from ssl_cli.data.info import DataInfo, require
from ssl_cli.errors import UserError

MIN_STD = 1e-3  # a constant channel would otherwise be divided by zero
Numbers = tuple[float, ...]  # one a channel


class PixelInfo(DataInfo):
    """Facts about inputs of pixels."""

    channels: int  # 1 or 3
    image_size: int  # pixels, height = width, of what a network sees
    mean: Numbers  # of pixels in [0, 1], on the train split
    std: Numbers

    @property
    def stored_side(self) -> int:
        """The shorter side of what is stored, in pixels."""
        return self.image_size

    @property
    def size_key(self) -> str:
        """The setting that decides ``image_size``, for advice."""
        return "dataset.storage_size"

    @property
    def made_by(self) -> tuple:
        """The normalisation."""
        return self.mean, self.std

    def to_input(self, rows: Tensor) -> Tensor:
        """Normalise rows [B, ..., C, H, W] uint8."""
        return to_input(rows, self.mean, self.std)

    @property
    def view_size(self) -> int:
        """The side of what a network sees."""
        return self.image_size

    def unnormalised(self, view: Tensor) -> Tensor:
        """Return a normalised view [B, ..., C, h, w] as pixels in [0, 1]."""
        mean, std = (view.new_tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return (view * std + mean).clamp(0, 1)

    def check_fits_weights_of(self, other: DataInfo, setting: str) -> None:
        """Raise ``UserError`` where weights are of other channels."""
        if other.channels != self.channels:
            raise UserError(
                f"{setting} was trained on {self.noun}s of {other.channels} channels, {self.name} has "
                f"{self.channels}; write dataset.channels={other.channels}"
            )

    def inherited(self, node: Mapping[str, Any]) -> dict[str, Any]:
        """Return mean and std, unless the data set has its own."""
        return {"mean": list(self.mean), "std": list(self.std)} if node.get("mean") is None else {}

    def stored_as(self, node: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings with the size and channels of these inputs."""
        wanted = {"storage_size": self.stored_side, "channels": self.channels}
        return {key: wanted.get(key, value) for key, value in node.items()}

    def check(self, values: Mapping[str, Any]) -> None:
        """Raise ``ValueError`` for a size, channels or normalisation that none is."""
        require_counts(self, ("channels", "image_size"), values)
        for name in ("mean", "std"):
            numbers = getattr(self, name)
            plain = type(numbers) is tuple and all(type(n) in (int, float) and math.isfinite(n) for n in numbers)
            require(plain and len(numbers) == self.channels, name, values)
        require(all(number > 0 for number in self.std), "std", values)


def require_counts(info: DataInfo, names: Iterable[str], values: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` about the first of these facts that is no whole number from 1 on."""
    for name in names:
        value = getattr(info, name)
        require(type(value) is int and value >= 1, name, values)


def statistics(chunks: Iterable[Tensor]) -> tuple[Numbers, Numbers]:
    """Return mean and standard deviation of each channel of uint8 pixels, in units where 255 is 1.

    In float64, so that they are the same on every machine. The standard deviation is never below 0.001.

    Args:
        chunks: at least one, each [n, C, H, W].
    """
    total = squares = torch.zeros(1, dtype=torch.float64)
    count = 0
    for chunk in chunks:
        pixels = chunk.double() / 255
        total = total + pixels.sum((0, 2, 3))
        squares = squares + pixels.square().sum((0, 2, 3))
        count += pixels[:, 0].numel()
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt().clamp(min=MIN_STD)
    return tuple(mean.tolist()), tuple(std.tolist())


def normalisation(measured: tuple[Numbers, Numbers], channels: int, node: Mapping[str, Any]) -> tuple[Numbers, Numbers]:
    """Return mean and std per channel: those that the config names, or the train split's, which are ``measured``."""
    given = [tuple(node[key]) if node.get(key) is not None else None for key in ("mean", "std")]
    for key, values in zip(("mean", "std"), given, strict=True):
        numbers = values is None or all(isinstance(value, (int, float)) for value in values)
        fit = values is None or len(values) == channels or (len(values), channels) == (3, 1)
        if not (numbers and fit) or (values is not None and key == "std" and min(values) <= 0):
            shown = ",".join(f"{value:.3f}" for value in measured[key == "std"])
            raise UserError(
                f"dataset.{key}={list(values)} is not a {'positive ' * (key == 'std')}number for each of the "
                f"{channels} channels; measured on train: dataset.{key}=[{shown}]"
            )
    mean, std = (for_channels(values, channels) for values in (given[0] or measured[0], given[1] or measured[1]))
    return mean, std


def for_channels(values: Numbers, channels: int) -> Numbers:
    """Return a mean or std for so many channels: for grey images the mean of the three of colour.

    A network that was trained in colour takes grey images by the sum of its first convolution over the three.
    """
    return (sum(values) / 3,) if channels == 1 and len(values) == 3 else values
