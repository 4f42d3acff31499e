"""The size of image files, from their headers alone. Imports no torch."""

import warnings
from collections.abc import Sequence

from ssl_cli.data.images.files.decode import opened
from ssl_cli.data.images.files.pool import in_batches

Size = tuple[int, int]  # width and height in pixels, before an orientation tag is applied


def find_sizes(files: Sequence[str]) -> list[Size | None]:
    """Return the size of each file; None for a broken one."""
    return [size for _, batch in in_batches(files, _sizes, "reading sizes") for size in batch]


def _sizes(files: Sequence[str]) -> list[Size | None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's about odd metadata
        return [_size(file) for file in files]


def _size(file: str) -> Size | None:
    try:
        with opened(file, reading=2) as image:
            return image.size
    except Exception:  # it is reported when it is decoded
        return None
