"""One image file, of any mode that Pillow reads -> one square uint8 array. Imports no torch."""

import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

DECODE_VERSION = 1  # part of the cache's key: raise it when the pixels that `decode` returns change
SAMPLE = 256  # files whose headers decide the automatic size and channels
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_UPRIGHT = {  # EXIF orientation -> what undoes it
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


def decode(path: str, size: int, channels: int) -> np.ndarray:
    """Decode one file.

    The shorter side becomes ``size`` pixels (bicubic, antialiased) and the centre square is kept. The EXIF orientation
    is applied, transparency is laid over white, an animation gives its first frame. 16-bit grey values are divided by
    257; floating-point ones are multiplied by 255 if all lie in [0, 1] and clipped to [0, 255] otherwise.

    Returns:
        [channels, size, size] uint8.

    Raises:
        BrokenImage: for whatever reason Pillow has (truncated, not an image, more pixels than it deems safe, ...).
    """
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise ValueError("not a regular file")  # opening a pipe would wait for its writer for ever
        with Image.open(path) as image:
            orientation = _orientation(image)
            image.draft(None, (2 * size, 2 * size))  # lets large JPEG files be decoded at a fraction of their size
            image = _eight_bit(image)
            mode = "L" if channels == 1 else "RGB"
            image = image.convert(mode) if image.mode != mode else image
            image.load()
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise BrokenImage(_reason(path, error)) from error
    square = image if image.size == (size, size) else _square(image, size)
    if orientation in _UPRIGHT:  # the centre square turns onto itself, so the small image may be turned
        square = square.transpose(_UPRIGHT[orientation])
    return np.asarray(square).reshape(size, size, channels).transpose(2, 0, 1)


def survey(files: Sequence[str]) -> tuple[int, int]:
    """Return what suits the files, from the headers of at most 256 of them, evenly spaced.

    Returns:
        The median shorter side, kept within 16..64 pixels, and the channels: 1 if all are grey, else 3.
    """
    sides, grey = [], []
    for i in np.unique(np.linspace(0, len(files) - 1, min(len(files), SAMPLE)).round().astype(int)):
        try:
            if not Path(files[i]).is_file():
                continue
            with Image.open(files[i]) as image:
                sides.append(min(image.size))
                grey.append(image.mode in _GREY)
        except Exception:  # a broken file is reported when it is decoded
            continue
    if not sides:
        return 32, 3
    return int(np.clip(np.median(sides), 16, 64)), 1 if all(grey) else 3


def suffixes() -> frozenset[str]:
    """Return the file name endings (lower case, with the dot) of the image formats that Pillow decodes by itself."""
    extensions = Image.registered_extensions()
    foreign = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}  # opened only with the help of other programs
    return frozenset(ext for ext, name in extensions.items() if name in Image.OPEN and name not in foreign)


def _square(image: Image.Image, size: int) -> Image.Image:
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged metadata does not make the pixels useless
        return 1


def _eight_bit(image: Image.Image) -> Image.Image:
    """Bring an image of any mode to one that converts to L and RGB without loss of range or transparency."""
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow also opens as 32-bit integers
        values = np.asarray(image).astype(np.float64) / 257
    elif image.mode == "F":
        values = np.nan_to_num(np.asarray(image).astype(np.float64))
        if values.min() >= 0 and values.max() <= 1:
            values = values * 255
    elif image.mode in _WITH_ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    else:
        return image
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def _reason(path: str, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "the file is empty" if Path(path).stat().st_size == 0 else "not an image, or damaged at its beginning"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
