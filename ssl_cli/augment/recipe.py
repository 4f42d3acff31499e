"""The settings of each operation of a recipe; their meaning is beside the keys in conf/augment/none.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from ssl_cli.errors import UserError, did_you_mean

Range = tuple[float, float]  # (low, high)
T = TypeVar("T")


@dataclass
class Crop:
    """A random box, resized to the size of the view."""

    scale: Range = (0.08, 1.0)
    ratio: Range = (3 / 4, 4 / 3)
    p: float = 1.0
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        _choice("crop.interpolation", self.interpolation, "bilinear", "bicubic")
        self.scale = _range("crop.scale", self.scale, above=0, most=1)
        self.ratio = _range("crop.ratio", self.ratio, above=0)


@dataclass
class PadCrop:
    """A border on all sides, then a box of the old size at whole pixels: a shift that keeps pixels exact."""

    pad: float = 0.125
    border: str = "reflect"
    p: float = 1.0

    def __post_init__(self) -> None:
        _choice("pad_crop.border", self.border, "reflect", "black")


@dataclass
class Affine:
    """A random rotation, shift, scale and shear about the centre."""

    degrees: float = 0.0
    translate: float = 0.0
    scale: Range = (1.0, 1.0)
    shear: float = 0.0
    fill: float = 0.0
    p: float = 1.0

    def __post_init__(self) -> None:
        self.scale = _range("affine.scale", self.scale, above=0)


@dataclass
class Jitter:
    """Random brightness, contrast, saturation and hue, in random order."""

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    p: float = 1.0


@dataclass
class Blur:
    """A Gaussian blur of random width."""

    kernel: float = 0.1
    sigma: Range = (0.1, 2.0)
    p: float = 1.0

    def __post_init__(self) -> None:
        self.sigma = _range("blur.sigma", self.sigma, above=0)
        if self.kernel >= 1 and self.kernel % 2 != 1:
            raise UserError(
                f"blur.kernel is {self.kernel}: it must be an odd number of pixels such as 3, or a fraction of the "
                "image's width such as 0.1"
            )

    def width(self, size: int) -> int:
        """Return the kernel's width in pixels, odd and at least 3 if a fraction, on an image of ``size`` pixels."""
        return int(self.kernel) if self.kernel >= 1 else max(3, int(self.kernel * size) | 1)


@dataclass
class Solarize:
    """Inversion of the bright pixels."""

    threshold: float = 0.5
    p: float = 1.0


def parse(operation: type[T], name: str, settings: Mapping[str, Any] | None) -> T:
    """Return the operation with these settings; None or 0: it never happens.

    Raises:
        UserError: they are no settings, the operation does not have a key, or a range is not valid.
    """
    settings = {"p": 0.0} if settings in (None, 0) else settings
    if not isinstance(settings, Mapping):
        raise UserError(f"augment.{name}={settings} is no mapping of settings; write augment.{name}=null, or its keys")
    known = [field.name for field in fields(operation)]
    for key in settings:
        if key not in known:
            raise UserError(f"augment.{name} has no key '{key}', only {', '.join(known)}{did_you_mean(key, known)}")
    return operation(**settings)


def _choice(name: str, value: Any, *known: str) -> None:
    if value not in known:
        raise UserError(f"{name}={value} is unknown{did_you_mean(str(value), known)}; write {' or '.join(known)}")


def _range(name: str, value: Any, above: float, most: float = float("inf")) -> Range:
    try:
        low, high = (float(v) for v in value)
    except (TypeError, ValueError):
        raise UserError(f"{name} is {value}: expected two numbers, as in {name}=[0.5,1.0]") from None
    if not above < low <= high <= most:
        limit = f" <= {most:g}" if most < float("inf") else ""
        raise UserError(f"{name} is [{low:g}, {high:g}]: expected [low, high] with {above:g} < low <= high{limit}")
    return low, high
