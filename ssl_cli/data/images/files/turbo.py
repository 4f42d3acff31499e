"""JPEG files by libjpeg-turbo without Pillow's overhead, which takes most of the time for small files."""

import functools
import math
import os
import stat
from types import ModuleType

import numpy as np
from PIL import Image

READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a pipe's writer is not waited for
SIGNS = (b"Exif\0", b"ns.adobe.com/xap", b"MPF\0")  # of a rotation, or of more than one picture


def pixels(path: str, channels: int, size: int) -> np.ndarray | None:
    """Return the pixels of a plain JPEG file, equal to Pillow's; None for a file that is left to Pillow.

    A plain file is upright, has one picture, is valid to its last byte, in colour if ``channels`` is 3 and grey if it
    is 1, and less than four times ``size`` high or wide: larger ones are decoded at a fraction of their size.

    Args:
        path: the file.
        channels: 1 or 3.
        size: the shorter side after resizing, in pixels.

    Returns:
        [H, W, channels] uint8.
    """
    library = _library()
    if library is None:
        return None
    try:
        content = _content(path)
        if not content.startswith(b"\xff\xd8\xff") or any(sign in content for sign in SIGNS):
            return None
        height, width, space, _ = library.decode_jpeg_header(content)
        plain = space == ("Gray" if channels == 1 else "YCbCr") and height * width <= (
            Image.MAX_IMAGE_PIXELS or math.inf
        )
        if not plain or min(height, width) >= 4 * size:
            return None
        return library.decode_jpeg(content, "GRAY" if channels == 1 else "RGB")
    except (OSError, ValueError):  # Pillow reports the error
        return None


def has_few_colours(pixels: np.ndarray, levels: int) -> bool:
    """Return whether pixels [H, W, C] have fewer than ``levels`` colours; most have more in their first rows."""
    first = pixels[: 1 + 1024 // pixels.shape[1], :, 0]
    if len(set(first.tobytes())) >= levels:
        return False
    return len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) < levels


@functools.cache
def _library() -> ModuleType | None:
    try:
        import simplejpeg  # there are wheels for most machines; on others Pillow decodes everything
    except ImportError:
        return None
    return simplejpeg


def _content(path: str) -> bytes:
    """Return the bytes of a regular file; none of anything else."""
    file = os.open(path, READ)
    try:
        status = os.fstat(file)
        return os.read(file, status.st_size) if stat.S_ISREG(status.st_mode) else b""
    finally:
        os.close(file)
