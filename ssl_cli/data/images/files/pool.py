"""Many image files decoded side by side, in order. Imports no torch."""

import ctypes
import multiprocessing
import os
import signal
import sys
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np

from ssl_cli.data.images.files.decode import BrokenImage, Seen, decode, look
from ssl_cli.data.images.files.depth import Ranges, ranges
from ssl_cli.errors import RunError
from ssl_cli.system.cpus import usable_cpus
from ssl_cli.system.terminal import Progress, clock

BATCH = 64  # files per task
MANY = 2048  # files from which processes are worth their start
PR_SET_PDEATHSIG = 1  # sys/prctl.h
Broken = dict[int, str]  # position of a file that could not be decoded -> the reason
Sights = Counter[Seen]  # findings of all decoded files
T = TypeVar("T")


class Decoded(NamedTuple):
    """Consecutive images."""

    pixels: np.ndarray  # [n, C, H, W] uint8; [bytes], one image after the other, if they are whole
    shapes: list[tuple[int, int]]  # height and width of each whole image, else empty
    broken: Broken  # files missing among them
    seen: Sights


Batches = Iterator[Decoded]


def decode_all(
    files: Sequence[str],
    size: int,
    channels: int,
    known: Ranges,
    reading: int,
    whole: bool = False,
    what: str = "decoding images",
) -> Batches:
    """Yield the images of ``files`` in order and in batches, with the broken files among them.

    Args:
        files: paths.
        size: see `decode.decode`, also for the next ones.
        channels: 1 or 3.
        known: ranges of values.
        reading: version of the rules.
        whole: keep all of each image.
        what: the work, in words for the progress bar.

    Raises:
        RunError: a decoding process was killed.
        UnknownRange: the range of a file is not known.
    """
    work = partial(_decode_batch, size=size, channels=channels, known=dict(known), reading=reading, whole=whole)
    for start, batch in in_batches(files, work, what):
        yield batch._replace(broken={start + i: reason for i, reason in batch.broken.items()})


def find_ranges(files: Sequence[str]) -> Ranges:
    """Read all files that state no depth; return one range for integers and one for floats."""
    batches = in_batches(files, _look_batch, "looking for the range of values")
    return ranges(found for _, batch in batches for found in batch)


def in_batches(files: Sequence[str], work: Callable[[Sequence[str]], T], what: str) -> Iterator[tuple[int, T]]:
    """Yield the position of each batch's first file, and the result of ``work`` for the batch."""
    starts = iter(range(0, len(files), BATCH))
    workers = usable_cpus()
    pending = deque()
    total = len(files)
    with Progress(total, every=10.0, after=1.0, stderr=True) as progress, _pool(workers, len(files)) as pool:
        try:
            while True:
                while len(pending) < 4 * workers and (start := next(starts, None)) is not None:
                    # Not all at once: the consumer of the batches may be slower than the workers.
                    pending.append((start, pool.submit(work, files[start : start + BATCH])))
                if not pending:
                    return
                start, task = pending.popleft()
                result = task.result()
                done = min(start + BATCH, total)
                progress.show(done, f"{what}: {done:,} of {total:,}, {clock(progress.left(done))} left")
                yield start, result
        except BrokenProcessPool as error:
            raise RunError(
                "a process that decoded images was killed, perhaps for want of memory; write a smaller "
                "dataset.storage_size, or start the command again"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _decode_batch(files: Sequence[str], size: int, channels: int, known: Ranges, reading: int, whole: bool) -> Decoded:
    images, broken, seen = [], {}, Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's about odd metadata
        for i, file in enumerate(files):
            try:
                image, sight = decode(file, size, channels, known, reading, whole)
            except BrokenImage as error:
                broken[i] = str(error)
            else:
                images.append(image)
                seen[sight] += 1
    if whole:
        flat = np.concatenate([np.empty(0, np.uint8), *(image.ravel() for image in images)])
        return Decoded(flat, [image.shape[1:] for image in images], broken, seen)
    return Decoded(np.stack(images) if images else np.empty((0, channels, size, size), np.uint8), [], broken, seen)


def _look_batch(files: Sequence[str]) -> list[tuple[str, float, float]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [found for found in map(look, files) if found is not None]


def _pool(workers: int, files: int) -> Executor:
    """Return processes for many files, else threads.

    Pillow releases the interpreter's lock only while it decodes pixels, a small part of the work for a small file.
    Outside Linux a new process starts the whole program again, which a user's script may not expect.
    """
    if files < MANY or workers == 1 or sys.platform != "linux":
        return ThreadPoolExecutor(workers)
    return ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _serve)


def _serve() -> None:
    """Leave Ctrl-C and Slurm's warning to the parent, and end whenever the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # the parent ended before this call
        os._exit(1)
