"""All files of video -> one buffer of clips: decoded once, kept in a file, in memory if it fits, else memory-mapped."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssl_cli.data.clips.decode import BrokenVideo, Film, decode
from ssl_cli.data.images.files.cache import remove_superseded, shown, user_cache_dir, write_header
from ssl_cli.data.images.files.storage import key
from ssl_cli.errors import UserError
from ssl_cli.system import atomic
from ssl_cli.system.terminal import Progress, clock

VERSION = 1  # of the rules of decoding


class Stored(NamedTuple):
    """The clips of all files."""

    clips: Tensor  # [N, T, C, S, S] uint8
    of: Tensor  # [N] int64: the position of the file that each is of
    start: Tensor  # [N] float64: seconds from the beginning of the file
    notes: dict[str, list[int]]  # "short", "uneven", "turned": positions of such files; a short one has no clip
    broken: dict[int, str]  # position of a file that was left out -> the reason
    mapped: Path | None = None  # the file that they are mapped from; None: they are in memory


def store(
    root: Path,
    names: Sequence[str],
    *,
    frames: int,
    fps: float,
    size: int,
    channels: int,
    per_file: int | None,
    on_error: str,
    storage_limit: int,
    cache_dir: Path | None,
) -> Stored:
    """Cut each file into clips that follow each other, or read what an earlier call has made of them.

    Args:
        root: the folder that ``names`` are relative to.
        names: of the files.
        frames: of a clip; what is left at the end of a file is too short for one.
        fps: frames a second of the clips.
        size: of the frames, in pixels.
        channels: 1 or 3.
        per_file: clips that are kept of a file, evenly spaced; None: all.
        on_error: what a broken file does: ``stop`` (raise) or ``skip``.
        storage_limit: bytes; more than this is not held in memory but mapped.
        cache_dir: where the buffer is kept; by default in the user's cache directory.

    Raises:
        UserError: for a broken file, if no file has a clip, or the buffer cannot be written.
    """
    how = f"clips {VERSION} {frames} {fps} {size} {channels} {per_file}"
    path = (cache_dir or user_cache_dir() / "clips") / key(root, names, how)
    found = _open(path, storage_limit)
    if found is None:
        try:
            _write(path, root, names, (frames, channels, size, size), fps, per_file, on_error)
        except OSError as error:
            raise UserError(
                f"cannot keep the clips in {shown(path.parent)}: {error.strerror or error}; write "
                "dataset.cache_dir=DIR for another place, or lower dataset.storage_size"
            ) from error
        found = _open(path, storage_limit)
    if found is None:
        raise UserError(f"{shown(path)}.npy was written and cannot be read; write dataset.cache_dir=DIR")
    if found.broken and on_error == "stop":  # a buffer written by a run that skipped them
        raise _refused(root / names[min(found.broken)], found.broken[min(found.broken)])
    return found


def _open(path: Path, storage_limit: int) -> Stored | None:
    """Return what is kept; None where there is nothing, or a part of it."""
    try:
        told = json.loads(path.with_suffix(".json").read_text())
        file = path.with_suffix(".npy")
        large = file.stat().st_size > storage_limit
        pixels = np.load(file, mmap_mode="r" if large else None)
        if len(pixels) != len(told["of"]):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's about read-only arrays
            clips = torch.from_numpy(pixels)
        broken = {int(i): reason for i, reason in told["broken"].items()}
        of, start = torch.tensor(told["of"], dtype=torch.int64), torch.tensor(told["start"], dtype=torch.float64)
        return Stored(clips, of, start, told["notes"], broken, file if large else None)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _write(
    path: Path,
    root: Path,
    names: Sequence[str],
    shape: tuple[int, ...],
    fps: float,
    per_file: int | None,
    on_error: str,
) -> None:
    """Write the pair of files. Several processes may do so at once: the last rename wins, with equal contents."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told: dict[str, Any] = {"of": [], "start": [], "broken": {}, "notes": {"short": [], "uneven": [], "turned": []}}
    with (
        Progress(len(names), every=10.0, after=1.0, stderr=True) as progress,
        atomic.replacing(path.with_suffix(".npy")) as file,
    ):
        write_header(file, (0, *shape))
        for number, name in enumerate(names):
            film = Film()
            try:
                clips = _clips_of(root / name, shape, fps, film)
            except BrokenVideo as error:
                if on_error == "stop":
                    raise _refused(root / name, str(error)) from error
                told["broken"][number] = str(error)
                continue
            for at in _chosen(len(clips), per_file):
                file.write(clips[at].data)
                told["of"].append(number)
                told["start"].append(at * shape[0] / fps)
            for note, holds in (("short", not clips), ("uneven", film.uneven), ("turned", film.turned != 0)):
                told["notes"][note] += [number] if holds else []
            done = number + 1
            progress.show(done, f"decoding: {done:,} of {len(names):,} files, {clock(progress.left(done))} left")
        file.seek(0)
        write_header(file, (len(told["of"]), *shape))  # numpy pads headers so that the first axis may grow in place
    atomic.write_json(path.with_suffix(".json"), told)  # last: where it is, the pair is whole
    remove_superseded(path)


def _clips_of(path: Path, shape: tuple[int, ...], fps: float, film: Film) -> list[np.ndarray]:
    """Return the clips [T, C, S, S] of a file, one after the other; what is known of it comes into ``film``."""
    clips, clip = [], []
    for frame in decode(path, fps, shape[-1], shape[1], film):
        clip.append(frame)
        if len(clip) == shape[0]:
            clips.append(np.stack(clip))
            clip = []
    return clips


def _chosen(count: int, most: int | None) -> list[int]:
    """Return which of so many clips are kept, evenly spaced."""
    if most is None or count <= most:
        return list(range(count))
    return np.linspace(0, count - 1, most).round().astype(int).tolist()


def _refused(path: Path, reason: str) -> UserError:
    return UserError(f"cannot use {shown(path)}: {reason}; write dataset.on_error=skip to leave such files out")
