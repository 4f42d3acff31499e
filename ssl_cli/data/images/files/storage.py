"""All image files -> one uint8 tensor: decoded once, kept in a cache file, in memory if it fits, else memory-mapped."""

import contextlib
import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssl_cli.data.images.files import cache
from ssl_cli.data.images.files.decode import DECODE_VERSION
from ssl_cli.data.images.files.pool import Batches, Broken, decode_all
from ssl_cli.errors import UserError

KEEP_FROM = 1.0  # seconds of decoding that are worth a cache file


def store(
    root: Path,
    names: Sequence[str],
    size: int,
    channels: int,
    on_error: str = "stop",
    storage_limit: int = 4 << 30,
    cache_dir: Path | None = None,
) -> tuple[Tensor, Broken]:
    """Decode files to one tensor, or read what an earlier call has decoded.

    Args:
        root: the folder that ``names`` are relative to.
        names: N file names.
        size: side of the stored images, in pixels.
        channels: 1 or 3.
        on_error: what a broken file does: ``stop`` (raise) or ``skip``.
        storage_limit: bytes; more than this is not held in memory but mapped from the cache file.
        cache_dir: where cache files lie; by default the user's cache directory.

    Returns:
        [N - broken, channels, size, size] uint8, read only, in the order of ``names``; and the position and reason of
        each file that was left out.

    Raises:
        UserError: for a broken file, if no file could be decoded, or if the disk is too small for a file to be mapped.
    """
    shape = (len(names), channels, size, size)
    path = (cache_dir or cache.user_cache_dir() / "images") / _key(root, names, size, channels)
    batches = _sound(root, names, decode_all([os.fspath(root / name) for name in names], size, channels), on_error)
    if np.prod(shape, dtype=np.int64) <= storage_limit:
        images, broken = cache.load(path) or _in_memory(path, batches, shape)
    else:
        images, broken = cache.mapped(path, batches, shape)
    if broken and on_error == "stop":  # a cache written by a run that skipped them
        i = min(broken)
        raise _broken_error(root / names[i], broken[i])
    if not len(images):
        raise UserError(f"none of the {len(names)} images in {cache.shown(root)} can be read; the first: {broken[0]}")
    return images, broken


def _sound(root: Path, names: Sequence[str], batches: Batches, on_error: str) -> Batches:
    """Pass the batches on; with ``on_error="stop"`` end at the first broken file."""
    for rows, broken in batches:
        if broken and on_error == "stop":
            i = min(broken)
            raise _broken_error(root / names[i], broken[i])
        yield rows, broken


def _in_memory(path: Path, batches: Batches, shape: tuple[int, int, int, int]) -> tuple[Tensor, Broken]:
    """Decode into memory, and keep the result for the next command where that took long enough to be felt."""
    began = time.monotonic()
    images, broken, filled = np.empty(shape, np.uint8), {}, 0
    for rows, unread in batches:
        images[filled : filled + len(rows)] = rows
        filled += len(rows)
        broken |= unread
    if time.monotonic() - began >= KEEP_FROM:
        cache.keep(path, images[:filled], broken)
    return torch.from_numpy(images[:filled]), broken


def _key(root: Path, names: Sequence[str], size: int, channels: int) -> str:
    """Name what the stored pixels depend on, without reading any image: PLACE-CONTENT, of which only one is kept."""
    place = hashlib.sha256(f"{DECODE_VERSION} {size} {channels} ".encode() + os.fsencode(root.resolve()))
    content = hashlib.sha256()
    for name in names:
        content.update(os.fsencode(name) + b"\0")
        with contextlib.suppress(OSError):  # such a file is reported when it is decoded
            status = os.stat(os.path.join(root, name))  # noqa: PTH116, PTH118 (a Path takes three times as long)
            content.update(f"{status.st_size} {status.st_mtime_ns}\0".encode())
    return f"{place.hexdigest()[:16]}-{content.hexdigest()[:32]}"


def _broken_error(path: Path, reason: str) -> UserError:
    return UserError(f"cannot read {cache.shown(path)}: {reason}; write dataset.on_error=skip to leave such files out")
