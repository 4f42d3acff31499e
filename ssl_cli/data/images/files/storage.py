"""All image files -> one uint8 buffer: decoded once, kept in a cache file, in memory if it fits, else memory-mapped."""

import contextlib
import hashlib
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from ssl_cli.data.images.files import cache
from ssl_cli.data.images.files.cache import Stored
from ssl_cli.data.images.files.decode import DECODE_VERSION, elongation, pixels_allowed
from ssl_cli.data.images.files.depth import Ranges, UnknownRange
from ssl_cli.data.images.files.pool import Batches, Decoded, decode_all, find_ranges
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
    known: Ranges = MappingProxyType({}),
    max_pixels: int | None = None,
    reading: int = 2,
    whole: bool = False,
) -> Stored:
    """Decode files to one tensor, or to `Photos`, or read the result of an earlier call.

    Args:
        root: the folder that ``names`` are relative to.
        names: N file names.
        size: side of the stored images, in pixels; the shorter side of whole ones.
        channels: 1 or 3.
        on_error: for a broken file: ``stop`` (raise) or ``skip``.
        storage_limit: bytes; images that need more are mapped from the cache file, not held in memory.
        cache_dir: where cache files lie; by default the user's cache directory.
        known: values that become 0 and 255 in files of more than 8 bits; a first pass finds unknown ones, see `depth`.
        max_pixels: of a file; None: Pillow's limit.
        reading: version of the rules of decoding.
        whole: keep all of each image, not its centre square.

    Returns:
        The images in the order of ``names``, read only: [N - broken, channels, size, size] uint8, or `Photos` if they
        are whole; the position and reason of each file that was left out; the findings of the others; and the file that
        the images are mapped from.

    Raises:
        UserError: for a broken file, if no file could be decoded, or if the disk is too small for a file to be mapped.
    """
    files = [os.fspath(root / name) for name in names]
    how = f"{DECODE_VERSION}.{reading} {size}{' whole' * whole} {channels} {sorted(known.items())} {max_pixels}"
    path = (cache_dir or cache.user_cache_dir() / "images") / key(root, names, how)
    shape: tuple[int, ...] = (len(names), channels, size, size)
    if whole:
        with pixels_allowed(max_pixels):
            shape = (round(len(names) * channels * size**2 * elongation(files, reading)),)  # bytes, about

    def made(ranges: Ranges) -> Stored:
        batches = _sound(root, names, decode_all(files, size, channels, ranges, reading, whole), on_error)
        if np.prod(shape, dtype=np.int64) <= storage_limit:
            return cache.load(path) or _in_memory(path, batches, shape)
        return cache.mapped(path, batches, shape)

    with pixels_allowed(max_pixels):
        try:
            images, broken, seen, mapped = made(known)
        except UnknownRange:
            images, broken, seen, mapped = made({**find_ranges(files), **known})
    if broken and on_error == "stop":  # a cache written by a run that skipped them
        i = min(broken)
        raise _broken_error(root / names[i], broken[i])
    if not len(images):
        raise UserError(f"none of the {len(names)} images in {cache.shown(root)} can be read; the first: {broken[0]}")
    return Stored(images, broken, seen, mapped)


def _sound(root: Path, names: Sequence[str], batches: Batches, on_error: str) -> Batches:
    """Pass the batches on; with ``on_error="stop"`` end at the first broken file."""
    for batch in batches:
        if batch.broken and on_error == "stop":
            i = min(batch.broken)
            raise _broken_error(root / names[i], batch.broken[i])
        yield batch


def _in_memory(path: Path, batches: Batches, shape: tuple[int, ...]) -> Stored:
    """Decode into memory, and keep the result for the next command if this took noticeable time."""
    began = time.monotonic()
    pixels, result, filled = np.empty(shape, np.uint8), Decoded(np.empty(0), [], {}, Counter()), 0
    for batch in batches:
        end = filled + len(batch.pixels)
        if end > len(pixels):  # the size of whole images is an estimate
            pixels = np.concatenate([pixels[:filled], np.empty(end - filled + filled // 8, np.uint8)])
        pixels[filled:end] = batch.pixels
        filled = end
        result.shapes.extend(batch.shapes)
        result.broken.update(batch.broken)
        result.seen.update(batch.seen)
    result = result._replace(pixels=pixels[:filled])
    if time.monotonic() - began >= KEEP_FROM:
        cache.keep(path, result)
    return Stored(cache.as_images(torch.from_numpy(result.pixels), result.shapes), result.broken, result.seen)


def key(root: Path, names: Sequence[str], how: str) -> str:
    """Return a name from all that the stored pixels depend on, without reading images: PLACE-CONTENT, one a place."""
    place = hashlib.sha256(f"{how} ".encode() + os.fsencode(root.resolve()))
    content = hashlib.sha256()
    for name in names:
        content.update(os.fsencode(name) + b"\0")
        with contextlib.suppress(OSError):  # such a file is reported when it is decoded
            status = os.stat(os.path.join(root, name))  # noqa: PTH116, PTH118 (a Path takes three times as long)
            content.update(f"{status.st_size} {status.st_mtime_ns}\0".encode())
    return f"{place.hexdigest()[:16]}-{content.hexdigest()[:32]}"


def _broken_error(path: Path, reason: str) -> UserError:
    return UserError(f"cannot read {cache.shown(path)}: {reason}; write dataset.on_error=skip to leave such files out")
