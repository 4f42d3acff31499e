"""Images of more than 8 bits a value: one range of values for the whole data set becomes 0..255. Imports no torch."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ssl_cli.data.images.files.tiff import Tiff

Range = tuple[float, float]  # the values that become 0 and 255
Ranges = Mapping[str, Range]  # "integer", "float" -> the range of all such files; "all" -> the range set by the user
STATED = "stated"  # in place of these: the file states its range
_FLOATS = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))  # conventions of floating-point images
_USED = 0.25  # share of a convention's range that the data must use; else their own range counts
_SWAPPED = {f"{mode};16{a}": f"{mode};16{b}" for mode in ("RGB", "RGBA", "RGBX") for a, b in ("BL", "LB")}
_GREY_ALPHA = "LA;16B"  # Pillow makes it RGBA
_FULL_16 = ("PPM", "JPEG2000")  # Pillow scales their values to 16 bits, by the depth that the file states
_BITS, _MAX_VALUE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 281, 262, 339  # tags of TIFF


class UnknownRange(Exception):
    """A file does not state its depth, so all files must be read before one can be decoded."""


@dataclass(frozen=True)
class Deep:
    """The values of one file."""

    kind: str  # "integer" or "float"
    values: np.ndarray  # [H, W, 1 or 3]
    opaque: np.ndarray | None = None  # [H, W] in 0..1; None: fully opaque
    stated: Range | None = None  # by the file itself
    inverted: bool = False  # the lowest value is white


def read(image: Image.Image | Tiff, path: str) -> Deep | None:
    """Return the values of an image of more than 8 bits, None for any other. Loads the image.

    PNG's sBIT is not needed: it gives the number of significant bits in values that fill all 16.
    """
    if isinstance(image, Tiff):
        values, opaque = image.read()
        kind = "float" if values.dtype.kind == "f" else "integer"
        return Deep(kind, values, opaque, _stated(image.tags, values.dtype), image.tags.get(_PHOTOMETRIC) == 0)
    if (values := _sixteen_bits(image, path)) is not None:
        colours, key = values.shape[2] - 1 + values.shape[2] % 2, image.info.get("transparency")
        opaque = None if key is None else (values != key).any(-1)
        return Deep("integer", values[..., :colours], values[..., -1] / 65535 if values.shape[2] > colours else opaque)
    tags = getattr(image, "tag_v2", {})
    bits, signed = _first(tags, _BITS), _first(tags, _SAMPLE_FORMAT, 1) != 1
    if image.mode == "L" and signed:
        return Deep("integer", np.asarray(image).view(np.int8)[..., None])
    if not image.mode.startswith(("I", "F")):
        return None
    inverted = tags.get(_PHOTOMETRIC) == 0
    values = np.asarray(image)
    if image.mode == "F":
        return Deep("float", values[..., None], inverted=inverted)
    if bits == 32 and not signed:
        values = values.view(np.uint32)  # Pillow has only signed ones
    stated = (0.0, 65535.0) if image.format in _FULL_16 else _stated(tags, values.dtype)
    key = image.info.get("transparency")
    return Deep("integer", values[..., None], None if key is None else values != key, stated, inverted)


def extremes(deep: Deep | None) -> tuple[str, float, float] | None:
    """Return the kind, lowest and highest value of a file that does not state its depth; None for any other."""
    if deep is None or deep.stated:
        return None
    values = deep.values if deep.opaque is None else deep.values[deep.opaque > 0]
    if deep.kind == "float":
        values = values[np.isfinite(values)]
    return (deep.kind, float(values.min()), float(values.max())) if values.size else (deep.kind, np.inf, -np.inf)


def ranges(found: Iterable[tuple[str, float, float]]) -> dict[str, Range]:
    """Choose one range for all integer and one for all floating-point files, from `extremes` of each.

    Integers that are never negative have as many bits as the highest value needs, at least 8. Floats get the first of
    [0, 1], [-1, 1] and [0, 255] that holds them. Values that use less than a quarter of this get their own extremes.
    """
    bounds: dict[str, Range] = {}
    for kind, low, high in found:
        before = bounds.get(kind, (low, high))
        bounds[kind] = min(low, before[0]), max(high, before[1])
    return {kind: _chosen(kind, low, high) for kind, (low, high) in bounds.items()}


def _chosen(kind: str, low: float, high: float) -> Range:
    if low > high:  # no finite value anywhere
        return 0.0, 1.0
    bits = max(8, int(high).bit_length()) if kind == "integer" and low >= 0 else 0
    for first, last in _FLOATS if kind == "float" else [(0.0, 2.0**bits - 1)]:
        if first <= low and high <= last and (low == high or high - low >= _USED * (last - first)):
            return first, last
    return (low, high) if low < high else (min(low, 0.0), max(high, 1.0))


def scaled(deep: Deep, known: Ranges) -> tuple[np.ndarray, str, Range, float]:
    """Scale values to 0..255.

    Returns:
        [H, W, 1 or 3] float32, transparent pixels laid over white; the source of the range (a key of ``known``, or
        ``STATED``) and the range; and the share of opaque values that lie outside of it, or are not finite.

    Raises:
        UnknownRange: the file states no depth, and no range is known for its kind.
    """
    source = "all" if "all" in known else STATED if deep.stated else deep.kind
    found = deep.stated if source == STATED else known.get(source)
    if found is None:
        raise UnknownRange
    low, high = found
    levels = deep.values.astype(np.float32 if deep.values.dtype.itemsize <= 2 else np.float64)  # exact for integers
    outside = ~((levels >= low) & (levels <= high))  # NaN is outside, too
    if deep.opaque is not None:
        outside &= (deep.opaque > 0)[..., None]
    np.nan_to_num(levels, copy=False, nan=low, posinf=high, neginf=low)
    levels.clip(low, high, out=levels)  # in place: there are pictures of gigabytes
    levels -= low
    levels *= 255 / (high - low)
    if deep.inverted:
        levels = 255 - levels
    if deep.opaque is not None:
        levels = 255 + (levels - 255) * deep.opaque[..., None]
    return levels.astype(np.float32, copy=False), source, found, float(outside.mean())


def _stated(tags: Mapping, dtype: np.dtype) -> Range | None:
    """Return the range that TIFF's tags state.

    MaxSampleValue states a depth if it is 2^k - 1 and less than the format can hold. Any other value is the highest of
    this one file, which must not change the meaning of its grey levels.
    """
    bits, highest = _first(tags, _BITS, 16), _first(tags, _MAX_VALUE, 0)
    if dtype.kind != "u":
        return None
    if bits not in (16, 32, 64):
        return 0.0, 2.0**bits - 1
    if 255 <= highest < 2**bits - 1 and highest & (highest + 1) == 0:
        return 0.0, float(highest)
    return None


def _first(tags: Mapping, tag: int, default: int = 0) -> int:
    value = tags.get(tag, default)
    return value[0] if isinstance(value, tuple) else value


def is_grey_alpha(image: Image.Image | Tiff) -> bool:
    """Return whether an image, before it is loaded, is grey of 16 bits with transparency; its mode is RGBA."""
    return _GREY_ALPHA in _raw_modes(image)


def _sixteen_bits(image: Image.Image, path: str) -> np.ndarray | None:
    """Return all bits [H, W, samples] of an image of 16 bits and several samples a pixel, None for any other.

    Pillow keeps the high bytes. If it reads the bytes in the wrong order, it keeps the low ones.
    """
    raw = _raw_modes(image)
    if raw == {_GREY_ALPHA}:
        octets = _read_as(path, lambda _: "RGBA").astype(np.uint16)
        return octets[..., ::2] * 256 + octets[..., 1::2]
    if not raw or not raw <= set(_SWAPPED):
        return None
    return np.asarray(image).astype(np.uint16) * 256 + _read_as(path, _SWAPPED.get)


def _raw_modes(image: Image.Image | Tiff) -> set[str]:
    return {_arguments(tile)[0] for tile in getattr(image, "tile", ())}


def _arguments(tile: tuple) -> tuple:
    return tile[3] if isinstance(tile[3], tuple) else (tile[3],)


def _read_as(path: str, raw_mode: Callable[[str], str]) -> np.ndarray:
    """Return the bytes of an image after giving Pillow another sample format for it."""
    with Image.open(path) as image:
        tiles = []
        for tile in image.tile:
            first, *others = _arguments(tile)
            arguments = (raw_mode(first), *others) if isinstance(tile[3], tuple) else raw_mode(first)
            parts = (*tile[:3], arguments)
            tiles.append(parts if type(tile) is tuple else type(tile)(*parts))  # of Pillow before 11.1: tuples
        image.tile = tiles
        return np.asarray(image)
