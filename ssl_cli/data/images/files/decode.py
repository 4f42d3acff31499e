"""One image file, of any mode that Pillow reads -> one uint8 array, square or whole. Imports no torch."""

import contextlib
import math
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from ssl_cli.data.images.files import depth, turbo
from ssl_cli.data.images.files.depth import Range, Ranges
from ssl_cli.data.images.files.tiff import Tiff, is_tiff

DECODE_VERSION = 2  # part of the cache's key: raise it when the pixels that `decode` returns change
FEW_LEVELS = 16
LONGEST = 16  # times the shorter side; of a longer image only the middle is kept, where nearly all crops would lie
SAMPLE = 256  # files whose headers decide the automatic size and channels
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_FEW_LEVELS = ("1", "P", "PA")  # modes with few levels by design
_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_KEY_BITS = {"1": 1, "L;2": 2, "L;4": 4}  # Pillow's names for grey PNG files of fewer than 8 bits
_UPRIGHT = {  # EXIF orientation -> the operation that undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BrokenImage(Exception):
    """A file that cannot be decoded; the message is the reason, in a few words."""


class Seen(NamedTuple):
    """Findings from the decoding of a file; equal for many files."""

    side: int  # the shorter one, in pixels
    colour: bool
    few: bool  # fewer than 16 levels as stored, in a format that is not for black and white or palettes
    clipped: float  # share of values outside of the range, in steps of 0.01
    values: Range | None  # they became 0 and 255; None: 8 bits
    source: str  # of this range, see `depth.scaled`; "": 8 bits
    pages: int  # or frames; the first is taken


def decode(
    path: str,
    size: int,
    channels: int,
    ranges: Ranges = MappingProxyType({}),
    reading: int = 2,
    whole: bool = False,
) -> tuple[np.ndarray, Seen]:
    """Decode one file.

    The shorter side becomes ``size`` pixels (bicubic, antialiased). The centre square is kept, or the ``whole`` image,
    up to sides of 1 to 16. The EXIF orientation is applied, transparency becomes white, an animation gives its first
    frame. The range of files with more than 8 bits a value is scaled to [0, 255], see `depth`.

    Args:
        path: the file.
        size: pixels.
        channels: 1 or 3.
        ranges: of files that state no depth.
        reading: version of the rules: 2, or 1: 16-bit grey values are divided by 257, floating-point ones are
            multiplied by 255 if all lie in [0, 1], and a TIFF is turned twice.
        whole: keep the whole image.

    Returns:
        [channels, size, size] uint8, or [channels, height, width] if it is whole, and the findings.

    Raises:
        BrokenImage: for any reason of Pillow's (truncated, not an image, more pixels than its safe limit, ...).
        UnknownRange: the file states no depth, and ``ranges`` has none for it.
    """
    if reading > 1 and (quick := turbo.pixels(path, channels, size)) is not None:
        return _of_pixels(quick, size, whole)
    try:
        with opened(path, reading) as image:
            colour, side, pages = _in_colour(image, reading), min(image.size), _pages(image)
            mode, plain = "L" if channels == 1 else "RGB", image.mode in _FEW_LEVELS
            found = depth.read(image, path) if reading > 1 else None
            image = image if found or reading == 1 else _with_scaled_key(image)
            orientation = _orientation(image) if _is_left_turned(image, reading) else 1  # loads a PNG
            if found is not None:
                levels, source, values, clipped = depth.scaled(found, ranges)
                small = _deep_resized(levels, size, mode, whole)
            else:
                source, values, clipped = "", None, 0.0
                shape = image.size
                drafted = image.draft(None, (2 * size, 2 * size))  # large JPEG files are decoded at a fraction of it
                image = _eight_bit(image, reading)
                image = image.convert(mode) if image.mode != mode else image
                image.load()
                small = _resized(image, size, whole, shape if drafted else None)
    except depth.UnknownRange:
        raise
    except Exception as error:  # decoders raise nearly anything for damaged files
        raise BrokenImage(_reason(path, error)) from error
    if orientation in _UPRIGHT:  # turning keeps the middle of an image in place, so turn the small image
        small = small.transpose(_UPRIGHT[orientation])
    few = not plain and small.getcolors(FEW_LEVELS - 1) is not None
    seen = Seen(side, colour, few, math.ceil(100 * clipped) / 100, values, source, pages)
    return np.asarray(small).reshape(small.height, small.width, channels).transpose(2, 0, 1), seen


def _of_pixels(pixels: np.ndarray, size: int, whole: bool) -> tuple[np.ndarray, Seen]:
    """Return the result of `decode` from the pixels [H, W, C] of a JPEG file."""
    (height, width, channels), small = pixels.shape, pixels
    if pixels.shape[:2] != (size, size):
        image = _resized(Image.fromarray(pixels if channels == 3 else pixels[..., 0]), size, whole)
        small = np.asarray(image).reshape(image.height, image.width, channels)
    few = turbo.has_few_colours(small, FEW_LEVELS)
    return small.transpose(2, 0, 1), Seen(min(height, width), channels == 3, few, 0.0, None, "", 1)


def look(path: str) -> tuple[str, float, float] | None:
    """Return kind and extreme values of a file that states no depth; None for any other file, and for a broken one."""
    try:
        with opened(path, reading=2) as image:
            return depth.extremes(depth.read(image, path))
    except Exception:  # it is reported when it is decoded
        return None


def survey(files: Sequence[str], reading: int = 2) -> tuple[int, int]:
    """Return size and channels that suit the files, from the headers of at most 256 of them, evenly spaced.

    Returns:
        The median shorter side, kept within 16..64 pixels, and the channels: 1 if all are grey, else 3.
    """
    sides, grey = [], []
    for file in _sample(files):
        try:
            with opened(file, reading) as image:
                sides.append(min(image.size))
                grey.append(not _in_colour(image, reading))
        except Exception:  # a broken file is reported when it is decoded
            continue
    if not sides:
        return 32, 3
    return stored_size(sides), 1 if all(grey) else 3


def elongation(files: Sequence[str], reading: int = 2) -> float:
    """Return the mean ratio of the longer side to the shorter, at most 16, from the headers of at most 256 files."""
    ratios = []
    for file in _sample(files):
        with contextlib.suppress(Exception), opened(file, reading) as image:
            ratios.append(min(max(image.size) / min(image.size), LONGEST))
    return float(np.mean(ratios)) if ratios else 1.0


def stored_size(sides: Sequence[int]) -> int:
    """Return the median shorter side, kept within 16..64 pixels."""
    return int(np.clip(np.median(sides), 16, 64))


def suffixes() -> frozenset[str]:
    """Return the file name endings (lower case, with the dot) of the image formats that Pillow decodes by itself."""
    extensions = Image.registered_extensions()
    foreign = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}  # opened only with the help of other programs
    opened = {*Image.OPEN, "MPO"} - foreign  # MPO is opened as a JPEG
    return frozenset(ext for ext, name in extensions.items() if name in opened)


@contextlib.contextmanager
def pixels_allowed(limit: int | None) -> Iterator[None]:
    """Let Pillow open pictures of up to ``limit`` pixels; None leaves its own limit."""
    before = Image.MAX_IMAGE_PIXELS
    if limit is not None:
        Image.MAX_IMAGE_PIXELS = (limit + 1) // 2  # Pillow warns above this, and refuses above twice as many
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _sample(files: Sequence[str]) -> list[str]:
    at = np.unique(np.linspace(0, len(files) - 1, min(len(files), SAMPLE)).round().astype(int))
    return [files[i] for i in at]


def opened(path: str, reading: int) -> Image.Image | Tiff:
    """Return an image after reading its header only; raise any error of Pillow's."""
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise ValueError("not a regular file")  # opening a pipe would wait for its writer for ever
    try:
        image = Image.open(path)
        if reading > 1:
            image.filename = ""  # else Pillow 13 maps an uncompressed TIFF that it turns with its sides exchanged
        return image
    except UnidentifiedImageError:
        if reading == 1 or not is_tiff(path):
            raise
        return Tiff(path)


def _in_colour(image: Image.Image | Tiff, reading: int) -> bool:
    return image.mode not in _GREY and (reading == 1 or not depth.is_grey_alpha(image))


def _pages(image: Image.Image | Tiff) -> int:
    if image.format == "MPO":  # the others are the same picture, from another angle or smaller
        return 1
    try:
        return image.n_frames if getattr(image, "is_animated", False) else 1
    except Exception:  # damage behind the first page
        return 1


def _is_left_turned(image: Image.Image | Tiff, reading: int) -> bool:
    """Return whether loading leaves the image turned as its orientation tag says; Pillow turns a TIFF upright."""
    return reading == 1 or image.format != "TIFF" or isinstance(image, Tiff)


def _deep_resized(levels: np.ndarray, size: int, mode: str, whole: bool) -> Image.Image:
    """Resize levels [H, W, 1 or 3] float32 in 0..255 before they are rounded to 8 bits."""
    if levels.shape[2] == 3 and mode == "L":
        levels = levels @ np.array([[0.299], [0.587], [0.114]], np.float32)
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in levels.transpose(2, 0, 1)]
    planes = [_resized(plane, size, whole) for plane in planes]
    planes = [Image.fromarray(np.asarray(plane).round().clip(0, 255).astype(np.uint8)) for plane in planes]
    return Image.merge("RGB", planes * (3 // len(planes))) if mode == "RGB" else planes[0]


def _resized(image: Image.Image, size: int, whole: bool, shape: tuple[int, int] | None = None) -> Image.Image:
    """Resize the centre square, or the whole image as far as `LONGEST` allows, to a shorter side of ``size`` pixels.

    ``shape`` is its width and height before decoding at a fraction of them.
    """

    def kept(shape: tuple[int, int]) -> list[int]:
        return [min(length, min(shape) * (LONGEST if whole else 1)) for length in shape]

    shape = shape or image.size
    wanted = tuple(int(size * length / min(shape)) for length in kept(shape))  # rounded as by torchvision's Resize
    if image.size == wanted:
        return image
    width, height = kept(image.size)
    left, top = (image.width - width) / 2, (image.height - height) / 2
    return image.resize(wanted, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height), reducing_gap=3.0)


def _orientation(image: Image.Image | Tiff) -> int:
    if isinstance(image, Tiff):
        return image.orientation
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged metadata does not make the pixels useless
        return 1


def _eight_bit(image: Image.Image, reading: int) -> Image.Image:
    """Convert an image of any mode to a mode that becomes L and RGB without loss of range or transparency."""
    if reading == 1 and image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64) / 257
    elif reading == 1 and image.mode == "F":
        values = np.nan_to_num(np.asarray(image).astype(np.float64))
        if values.min() >= 0 and values.max() <= 1:
            values = values * 255
    elif image.mode in _WITH_ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    else:
        return image
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def _with_scaled_key(image: Image.Image) -> Image.Image:
    """Scale the transparent grey level of a PNG of 1, 2 or 4 bits to 8 bits, as Pillow scales the pixels."""
    key, bits = image.info.get("transparency"), _KEY_BITS.get(image.tile[0][3] if image.tile else "")
    if image.format != "PNG" or bits is None or not isinstance(key, int):
        return image
    image = image.convert("L", dither=Image.Dither.NONE) if image.mode == "1" else image
    image.load()
    image.info["transparency"] = key * 255 // (2**bits - 1)
    return image


def _reason(path: str, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        pixels = int(re.search(r"\d+", str(error))[0])
        return (
            f"{pixels:,} pixels, more than Pillow deems safe; if you trust the file, write dataset.max_pixels={pixels}"
        )
    if isinstance(error, UnidentifiedImageError):
        return "the file is empty" if Path(path).stat().st_size == 0 else "not an image, or damaged at its beginning"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
