"""Decoded images in a file: the next command need not decode again, and the images may exceed the memory."""

import contextlib
import functools
import json
import os
import shutil
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssl_cli.data.images.files.decode import Seen
from ssl_cli.data.images.files.names import as_text
from ssl_cli.data.images.files.pool import Batches, Broken, Decoded, Sights
from ssl_cli.errors import UserError
from ssl_cli.photos import Photos
from ssl_cli.system import atomic

SUPERSEDED = 3600.0  # seconds: decoding a folder again removes its caches that are older than this


class Stored(NamedTuple):
    """All images of a folder."""

    images: Tensor | Photos  # [N - broken, C, H, W] uint8, or whole ones
    broken: Broken  # files that were left out
    seen: Sights
    mapped: Path | None = None  # the file they are mapped from; None: they are in memory


def load(path: Path) -> Stored | None:
    """Read ``path``.npy into memory and check it; None without a cache, or with a damaged one."""
    try:
        told = json.loads(path.with_suffix(".json").read_text())
        pixels = np.load(path.with_suffix(".npy"))
        if zlib.crc32(pixels) != told["crc32"]:
            return None
        return _stored(pixels, told)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def keep(path: Path, images: Decoded) -> None:
    """Write the images in memory for the next command. If this is impossible, the work continues without a cache."""
    try:
        _write(path, iter([images]), images.pixels.shape)
    except OSError as error:
        print(
            f"note: the decoded images cannot be kept in {shown(path.parent)} ({error.strerror or error}), so the next "
            "command decodes them again; write dataset.cache_dir=DIR for another place",
            file=sys.stderr,
        )


def mapped(path: Path, batches: Batches, shape: tuple[int, ...]) -> Stored:
    """Map ``path``.npy; write it first, from ``batches``, if it is not there. ``path``.json tells what it leaves out.

    Args:
        path: the name of the cache, without a suffix.
        batches: the decoded images; not touched if the cache is there.
        shape: (N, C, H, W), where N also counts images that may be broken; for whole images about (bytes,).

    Returns:
        The images, mapped read only.

    Raises:
        UserError: if the disk is too small or cannot be written.
    """
    if (found := _open(path)) is not None:
        return found
    try:
        _write(path, batches, shape)
    except OSError as error:
        needed = int(np.prod(shape, dtype=np.int64))
        raise UserError(
            f"cannot write the image cache to {shown(path.parent)}, which needs {needed / 1e9:.2f} GB: "
            f"{error.strerror or error}; write dataset.cache_dir=DIR for another place, or lower dataset.storage_size"
        ) from error
    return _open(path) or _unreadable(path)


def user_cache_dir(lasting: bool = False) -> Path:
    """Return the platform's usual directory for files that this program can make or fetch again.

    For a user without a home (neither HOME nor an entry in the list of users) it is temporary.

    Args:
        lasting: whether later commands must find the files.

    Raises:
        UserError: they must, and there is no home.
    """
    try:
        return _at_home()
    except RuntimeError as error:
        if lasting:
            raise UserError("there is no home directory to keep the data set in; write dataset.root=DIR") from error
        return Path(_temporary().name)


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="ssl-cache-")


def _at_home() -> Path:
    if sys.platform == "darwin":
        base = Path.home() / "Library/Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "ssl"


def shown(path: Path | str) -> str:
    """Return a path as printable text, on one line; see `names.as_text`."""
    return as_text(path)


def _open(path: Path) -> Stored | None:
    """Map the cache; None if it is absent or cut short."""
    try:
        told = json.loads(path.with_suffix(".json").read_text())
        pixels = np.load(path.with_suffix(".npy"), mmap_mode="r")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's about read-only arrays
            return _stored(pixels, told)._replace(mapped=path.with_suffix(".npy"))
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _stored(pixels: np.ndarray, told: dict) -> Stored:
    """Return the content of a pair of files; raise ``ValueError`` or ``KeyError`` if they do not fit each other."""
    seen = Counter({Seen(*s[:4], tuple(s[4]) if s[4] else None, *s[5:]): count for s, count in told["seen"]})
    broken = {int(i): reason for i, reason in told["broken"].items()}
    shapes = list(zip(told["heights"], told["widths"], strict=True)) if "heights" in told else []
    return Stored(as_images(torch.from_numpy(pixels), shapes), broken, seen)


def as_images(pixels: Tensor, shapes: list[tuple[int, int]]) -> Tensor | Photos:
    """Return pixels [N, C, H, W] as they are, and pixels [bytes] of whole images as `Photos`, without a copy."""
    if pixels.ndim > 1:
        return pixels
    sides = torch.tensor(shapes, dtype=torch.int64).view(-1, 2)
    channels, rest = divmod(pixels.numel(), max(1, int(sides.prod(1).sum())))
    if rest:
        raise ValueError("the shapes are of other images")
    return Photos(pixels, *sides.T.contiguous(), channels, int(sides.min()) if len(sides) else 0)


def _unreadable(path: Path) -> Stored:
    raise UserError(f"the image cache {shown(path)}.npy was written and cannot be mapped; write dataset.cache_dir=DIR")


def _write(path: Path, batches: Batches, shape: tuple[int, ...]) -> None:
    """Write the pair of files. Several processes may do so at once: the last rename wins, with equal contents."""
    needed = int(np.prod(shape, dtype=np.int64))
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise OSError(f"only {free / 1e9:.2f} GB are free")
    shapes, broken, seen, filled, checksum = [], {}, Counter(), 0, 0
    with atomic.replacing(path.with_suffix(".npy")) as file:
        write_header(file, (filled, *shape[1:]))
        for batch in batches:
            pixels = np.ascontiguousarray(batch.pixels)
            file.write(pixels.data)
            checksum = zlib.crc32(pixels, checksum)
            filled += len(pixels)
            shapes += batch.shapes
            broken |= batch.broken
            seen += batch.seen
        file.seek(0)
        write_header(file, (filled, *shape[1:]))  # numpy pads headers so the first axis may grow in place
    told = {"broken": broken, "seen": list(seen.items()), "crc32": checksum}
    if len(shape) == 1:
        told |= {"heights": [height for height, _ in shapes], "widths": [width for _, width in shapes]}
    atomic.write_json(path.with_suffix(".json"), told)  # last: if it exists, the pair is complete
    remove_superseded(path)


def remove_superseded(path: Path) -> None:
    """Remove caches of older contents of the same folder; a process that still maps one keeps its content."""
    place = path.name.split("-")[0]
    for other in path.parent.glob(f"{place}-*"):
        with contextlib.suppress(OSError):
            if other.stem != path.name and time.time() - other.stat().st_mtime > SUPERSEDED:
                other.unlink()


def write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write the header of a file of numpy with an array of bytes."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
