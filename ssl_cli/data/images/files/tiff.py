"""Valid TIFF files that Pillow does not read: colours of floats, 64 bits, ... Imports no torch."""

import math
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin

_KINDS = {1: ("u", "integers"), 2: ("i", "signed integers"), 3: ("f", "floating point")}
_BITS = {"u": (8, 16, 32, 64), "i": (8, 16, 32, 64), "f": (16, 32, 64)}
_NOT_COMPRESSED, _ZIP = 1, (8, 32946)
_ALPHA = (1, 2)  # ExtraSamples: transparency, other than a sample of unknown meaning


class Tiff:
    """The first page of a TIFF: uncompressed or zip, in strips, of 1 to 4 samples a pixel.

    ``mode``, ``size`` and ``n_frames`` mean the same as in Pillow.

    Raises:
        ValueError: this class cannot read it; the message names its format.
    """

    format, n_frames = "TIFF", 1  # Pillow does not turn it, as it does its own TIFFs

    def __init__(self, path: str):
        self.path = path
        with Path(path).open("rb") as file:
            head = file.read(8)
            head += file.read(8) if head[2:3] == b"+" or head[3:4] == b"+" else b""  # BigTIFF
            self.tags = TiffImagePlugin.ImageFileDirectory_v2(head)
            file.seek(self.tags.next)
            self.tags.load(file)
        self.size = self.tags[256], self.tags[257]
        self.samples = self.tags.get(277, 1)
        self.mode = "RGB" if self.samples > 2 else "F"
        self.orientation = self.tags.get(274, 1)

    def __enter__(self) -> "Tiff":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the values [H, W, 1 or 3] and the opacity [H, W] in 0..1, or None if there is none."""
        tags, (width, height) = self.tags, self.size
        bits, formats = set(tags.get(258, (1,))), set(tags.get(339, (1,)))
        kind, words = _KINDS.get(max(formats), ("", "unknown values"))
        compression, separate = tags.get(259, 1), tags.get(284, 1) == 2
        if (
            len(bits) > 1
            or len(formats) > 1
            or max(bits) not in _BITS.get(kind, ())
            or self.samples > 4
            or tags.get(262, 0) not in (0, 1, 2)
            or compression not in (_NOT_COMPRESSED, *_ZIP)
            or tags.get(317, 1) != 1
            or 273 not in tags
        ):
            raise ValueError(
                f"a TIFF of {self.samples} samples a pixel of {max(bits)} bits ({words}, compression {compression}), "
                "which is not supported; save it as PNG or as an uncompressed TIFF"
            )
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and width * height > 2 * limit:
            raise Image.DecompressionBombError(f"Image size ({width * height} pixels)")
        dtype = np.dtype(f"{tags._endian}{kind}{max(bits) // 8}")
        shape = (self.samples, height, width) if separate else (height, width, self.samples)
        data = self._strips(compression, math.prod(shape) * dtype.itemsize)
        values = np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))
        values = values.transpose(1, 2, 0) if separate else values
        colours = 3 if self.samples > 2 else 1
        opaque = None
        if self.samples > colours and tags.get(338, (0,))[0] in _ALPHA:
            opaque = values[..., colours].astype(np.float64) / (1 if kind == "f" else np.iinfo(values.dtype).max)
        return values[..., :colours], opaque

    def _strips(self, compression: int, length: int) -> bytes:
        data = bytearray()
        with Path(self.path).open("rb") as file:
            for offset, count in zip(self.tags[273], self.tags[279], strict=True):
                file.seek(offset)
                strip = file.read(count)
                data += strip if compression == _NOT_COMPRESSED else zlib.decompressobj().decompress(strip, length)
        if len(data) < length:
            raise ValueError("image file is truncated")
        return bytes(data[:length])


def is_tiff(path: str) -> bool:
    """Return whether a file begins as a TIFF does."""
    with Path(path).open("rb") as file:
        return file.read(4) in TiffImagePlugin.PREFIXES
