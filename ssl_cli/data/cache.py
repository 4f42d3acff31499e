"""Decoded images in a memory-mapped file, for data sets that are larger than memory should hold."""

import contextlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from ssl_cli import atomic
from ssl_cli.errors import UserError

Broken = dict[int, str]  # position of a file that could not be decoded -> the reason
Batches = Iterator[tuple[np.ndarray, Broken]]  # [n, C, H, W] uint8, and what is missing among them


def mapped(path: Path, batches: Batches, shape: tuple[int, int, int, int]) -> tuple[Tensor, Broken]:
    """Map ``path``.npy; write it first, from ``batches``, if it is not there. ``path``.json tells what it leaves out.

    Several processes may write at once: each writes a file of its own, and the last rename wins, with equal contents.

    Args:
        path: the name of the cache, without a suffix.
        batches: the decoded images; not touched if the cache is there.
        shape: (N, C, H, W), where N also counts the images that may turn out to be broken.

    Returns:
        [N - broken, C, H, W] uint8, mapped read only; and what was left out.

    Raises:
        UserError: if the disk is too small or cannot be written.
    """
    if (found := _open(path)) is not None:
        return found
    needed = int(np.prod(shape, dtype=np.int64))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
        if free < needed:
            raise OSError(f"only {free / 1e9:.2f} GB are free")
        broken, filled = {}, 0
        with _replacing(path.with_suffix(".npy")) as file:
            _write_header(file, (filled, *shape[1:]))
            for rows, unread in batches:
                file.write(rows.tobytes())
                filled += len(rows)
                broken |= unread
            file.seek(0)
            _write_header(file, (filled, *shape[1:]))  # numpy pads headers so that the first axis may grow in place
        atomic.write_json(path.with_suffix(".json"), {"broken": broken})  # last: where it is, the pair is whole
    except OSError as error:
        raise UserError(
            f"cannot write the image cache to {shown(path.parent)}, which needs {needed / 1e9:.2f} GB: "
            f"{error.strerror or error}; write dataset.cache_dir=DIR for another place, or lower dataset.storage_size"
        ) from error
    return _open(path) or _unreadable(path)


def user_cache_dir() -> Path:
    """Return the directory for what this program can make or fetch again, by the platform's custom."""
    if sys.platform == "darwin":
        base = Path.home() / "Library/Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "ssl"


def shown(path: Path | str) -> str:
    """Return a path as text that can always be printed, also where its bytes are no valid text."""
    return os.fsencode(path).decode("utf-8", "replace")


def _open(path: Path) -> tuple[Tensor, Broken] | None:
    """Return what the cache holds, or None where it is absent or damaged."""
    try:
        broken = json.loads(path.with_suffix(".json").read_text())["broken"]
        images = np.load(path.with_suffix(".npy"), mmap_mode="r")
    except (OSError, ValueError, KeyError):
        return None
    return torch.from_numpy(images), {int(i): reason for i, reason in broken.items()}


def _unreadable(path: Path) -> tuple[Tensor, Broken]:
    raise UserError(f"the image cache {shown(path)}.npy was written and cannot be mapped; write dataset.cache_dir=DIR")


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


@contextlib.contextmanager
def _replacing(file: Path) -> Iterator[BinaryIO]:
    """Open a file beside ``file`` that takes its name when it is whole and on the disk, and else vanishes."""
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(6)}")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
