"""Files of pictures, written level by level, and what is stored of them."""

import struct
import zlib

import numpy as np
from PIL import Image, TiffImagePlugin

from ssl_cli.data.images.files import decode, pool

RAMP = np.arange(256).reshape(16, 16)  # every grey level once


def stored(*files, channels=1, size=16, known=None):
    """The levels of a data set of these files."""
    known = pool.find_ranges(list(map(str, files))) if known is None else known
    return [decode.decode(str(file), size, channels, known)[0] for file in files]


def save(path, values, dtype, **tags):
    """A TIFF or PNG, by its ending, of one channel; tags by number."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        info[int(tag[1:])] = value
    options = {"tiffinfo": info} if tags else {}
    Image.fromarray(np.asarray(values).astype(dtype)).save(path, **options)
    return path


def png(path, values, colour, bits, **chunks):
    """A PNG as its specification says, which Pillow cannot write: 16 bits a colour, 2 bits, sBIT, tRNS."""
    packed = [
        line.astype(">u2").tobytes() if bits == 16 else np.packbits(_bits(line, bits)).tobytes() for line in values
    ]
    data = b"".join(b"\0" + line for line in packed)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *((k.encode(), v) for k, v in chunks.items()), (b"IDAT", zlib.compress(data))]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d))
            for k, d in [*parts, (b"IEND", b"")]
        )
    )
    return path


def _bits(line, bits):
    return (line[:, None] >> np.arange(bits - 1, -1, -1)) & 1


def tiff(path, values, zipped=False, **tags):
    """A TIFF of one strip with any number of samples, which Pillow cannot write."""
    ifd = TiffImagePlugin.ImageFileDirectory_v2()
    height, width, samples = values.shape
    data = zlib.compress(values.tobytes()) if zipped else values.tobytes()
    kind = {"u": 1, "i": 2, "f": 3, "c": 6}[values.dtype.kind]
    ifd[256], ifd[257], ifd[277], ifd[259] = width, height, samples, 8 if zipped else 1
    ifd[258], ifd[339] = (values.dtype.itemsize * 8,) * samples, (kind,) * samples
    ifd[262], ifd[278], ifd[279] = 2 if samples > 2 else 1, height, len(data)
    for tag, value in tags.items():
        ifd[int(tag[1:])] = value
    ifd[273] = 0  # becomes the place behind the tags
    path.write_bytes(b"II*\0\x08\0\0\0" + ifd.tobytes(8) + data)
    return path
