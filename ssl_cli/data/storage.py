"""All image files -> one uint8 tensor: decoded once, in memory if it fits, else in a memory-mapped cache file."""

import contextlib
import hashlib
import os
import warnings
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssl_cli.data import cache
from ssl_cli.data.cache import Batches, Broken
from ssl_cli.data.decode import DECODE_VERSION, BrokenImage, decode
from ssl_cli.data.progress import Progress
from ssl_cli.errors import UserError

BATCH = 64  # files per task of the thread pool


def store(
    root: Path,
    names: Sequence[str],
    size: int,
    channels: int,
    on_error: str = "stop",
    storage_limit: int = 4 << 30,
    cache_dir: Path | None = None,
) -> tuple[Tensor, Broken]:
    """Decode files to one tensor.

    Args:
        root: the folder that ``names`` are relative to.
        names: N file names.
        size: side of the stored images, in pixels.
        channels: 1 or 3.
        on_error: what a broken file does: ``stop`` (raise) or ``skip``.
        storage_limit: bytes; more than this goes to a cache file, which the next run maps without decoding.
        cache_dir: where that file lies; by default the user's cache directory.

    Returns:
        [N - broken, channels, size, size] uint8, read only, in the order of ``names``; and the position and reason of
        each file that was left out.

    Raises:
        UserError: for a broken file, if no file could be decoded, or if the disk is too small for the cache.
    """
    shape = (len(names), channels, size, size)
    batches = _decoded(root, names, size, channels, stop=on_error == "stop")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's about odd metadata; torch's about read-only arrays
        if np.prod(shape, dtype=np.int64) <= storage_limit:
            images, broken = _in_memory(batches, shape)
        else:
            directory = cache_dir or cache.user_cache_dir() / "images"
            images, broken = cache.mapped(directory / _key(root, names, size, channels), batches, shape)
    if broken and on_error == "stop":  # a cache written by a run that skipped them
        i = min(broken)
        raise _broken_error(root / names[i], broken[i])
    if not len(images):
        raise UserError(f"none of the {len(names)} images in {cache.shown(root)} can be read; the first: {broken[0]}")
    return images, broken


def _decoded(root: Path, names: Sequence[str], size: int, channels: int, stop: bool) -> Batches:
    """Yield batches, in order: [n, channels, size, size] uint8 and the broken files among them."""

    def work(start: int) -> tuple[np.ndarray, Broken]:
        rows, broken = [], {}
        for i in range(start, min(start + BATCH, len(names))):
            try:
                rows.append(decode(os.fspath(root / names[i]), size, channels))
            except BrokenImage as error:
                broken[i] = str(error)
        return np.stack(rows) if rows else np.empty((0, channels, size, size), np.uint8), broken

    workers = _workers()
    starts = iter(range(0, len(names), BATCH))
    pending = deque()
    # Threads, not processes: Pillow releases the interpreter's lock while it decodes.
    with Progress("decoding images", len(names)) as progress, ThreadPoolExecutor(workers) as pool:
        while True:
            while len(pending) < 4 * workers and (start := next(starts, None)) is not None:
                pending.append(pool.submit(work, start))  # not all at once: the disk may be slower than they are
            if not pending:
                return
            rows, broken = pending.popleft().result()
            if broken and stop:
                pool.shutdown(wait=False, cancel_futures=True)
                i = min(broken)
                raise _broken_error(root / names[i], broken[i])
            progress.advance(len(rows) + len(broken))
            yield rows, broken


def _workers() -> int:
    """Return how many threads decode: the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_memory(batches: Batches, shape: tuple[int, int, int, int]) -> tuple[Tensor, Broken]:
    images, broken, filled = np.empty(shape, np.uint8), {}, 0
    for rows, unread in batches:
        images[filled : filled + len(rows)] = rows
        filled += len(rows)
        broken |= unread
    return torch.from_numpy(images[:filled]), broken


def _key(root: Path, names: Sequence[str], size: int, channels: int) -> str:
    """Name what the stored pixels depend on, without reading any image."""
    digest = hashlib.sha256(f"{DECODE_VERSION} {size} {channels} ".encode() + os.fsencode(root.resolve()) + b"\0")
    for name in names:
        digest.update(os.fsencode(name) + b"\0")
        with contextlib.suppress(OSError):  # such a file is reported when it is decoded
            status = (root / name).stat()
            digest.update(f"{status.st_size} {status.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:32]


def _broken_error(path: Path, reason: str) -> UserError:
    return UserError(f"cannot read {cache.shown(path)}: {reason}; write dataset.on_error=skip to leave such files out")
