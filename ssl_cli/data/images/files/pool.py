"""Many image files decoded side by side, in order. Imports no torch."""

import ctypes
import multiprocessing
import os
import signal
import sys
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from ssl_cli.data.images.files.decode import BrokenImage, decode
from ssl_cli.errors import RunError
from ssl_cli.system.cpus import usable_cpus
from ssl_cli.system.terminal import Progress, clock

BATCH = 64  # files per task
MANY = 2048  # files from which processes are worth their start
PR_SET_PDEATHSIG = 1  # sys/prctl.h
Broken = dict[int, str]  # position of a file that could not be decoded -> the reason
Batches = Iterator[tuple[np.ndarray, Broken]]  # [n, C, H, W] uint8, and what is missing among them


def decode_all(files: Sequence[str], size: int, channels: int) -> Batches:
    """Yield the images of ``files`` in their order and in batches, with the broken files among them.

    Raises:
        RunError: a decoding process was killed.
    """
    starts = iter(range(0, len(files), BATCH))
    workers = usable_cpus()
    pending = deque()
    total, done = len(files), 0
    with Progress(total, every=10.0, after=1.0, stderr=True) as progress, _pool(workers, len(files)) as pool:
        try:
            while True:
                while len(pending) < 4 * workers and (start := next(starts, None)) is not None:
                    # Not all at once: whoever takes the batches may be slower than the workers.
                    task = pool.submit(_decode_batch, files[start : start + BATCH], size, channels)
                    pending.append((start, task))
                if not pending:
                    return
                start, task = pending.popleft()
                rows, broken = task.result()
                done += len(rows) + len(broken)
                progress.show(done, f"decoding images: {done:,} of {total:,}, {clock(progress.left(done))} left")
                yield rows, {start + i: reason for i, reason in broken.items()}
        except BrokenProcessPool as error:
            raise RunError(
                "a process that decoded images was killed, perhaps for want of memory; write a smaller "
                "dataset.storage_size, or start the command again"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _decode_batch(files: Sequence[str], size: int, channels: int) -> tuple[np.ndarray, Broken]:
    rows, broken = [], {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's about odd metadata
        for i, file in enumerate(files):
            try:
                rows.append(decode(file, size, channels))
            except BrokenImage as error:
                broken[i] = str(error)
    return np.stack(rows) if rows else np.empty((0, channels, size, size), np.uint8), broken


def _pool(workers: int, files: int) -> Executor:
    """Return processes for many files, else threads.

    Pillow releases the interpreter's lock only while it decodes pixels, which is little of the work on a small file.
    Elsewhere than on Linux a new process starts the whole program anew, which a user's script may not expect.
    """
    if files < MANY or workers == 1 or sys.platform != "linux":
        return ThreadPoolExecutor(workers)
    return ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _serve)


def _serve() -> None:
    """Leave Ctrl-C and Slurm's warning to the parent, and end with it however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # it ended before that was asked for
        os._exit(1)
