"""Jobs on this machine, several at a time."""

import os
import queue
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from subprocess import Popen

from ssl_cli.launch.launcher import Launcher, name_of, outcome, start
from ssl_cli.runs.job import Job
from ssl_cli.system.signals import handling


class Local(Launcher):
    """A process a job, ``jobs`` at a time: one that crashes or runs out of memory takes no other with it.

    Args:
        jobs: at a time; the cores are shared out among them.
        gpus: numbers of the GPUs to deal out, one a job; empty: every job sees all.
    """

    def __init__(self, *, jobs: int, gpus: Sequence[int]):
        self.jobs, self.gpus = jobs, list(gpus)
        self.running: set[Popen] = set()
        self.stopped: int | None = None  # by which signal

    def launch(self, jobs: Sequence[Job]) -> list[int]:
        """Do the jobs; a signal goes to those that run, which save, and the others are not begun."""
        slots: queue.Queue[int] = queue.Queue()
        for slot in range(self.jobs):
            slots.put(slot)
        with handling(self._hand_on), ThreadPoolExecutor(self.jobs) as pool:
            work = [pool.submit(self._do, job, slots) for job in jobs]
            while wait(work, timeout=0.5).not_done:
                pass  # a signal that comes just before an endless wait would be heard only after it
            return [one.result() for one in work]

    def _do(self, job: Job, slots: "queue.Queue[int]") -> int:
        slot = slots.get()
        try:
            if self.stopped is not None:
                return 128 + self.stopped
            print(f"job {name_of(job)} starts", flush=True)
            process = start(job, self._environment(slot))
            self.running.add(process)
            if self.stopped is not None:  # the signal came in between
                process.send_signal(self.stopped)
            status = process.wait()
            self.running.discard(process)
            stream = sys.stdout if status == 0 else sys.stderr
            print(f"job {name_of(job)} {outcome(status)}", file=stream, flush=True)
            return status
        finally:
            slots.put(slot)

    def _environment(self, slot: int) -> dict[str, str]:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        env = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, cores // self.jobs)))}
        if self.gpus:
            env["CUDA_VISIBLE_DEVICES"] = str(self.gpus[slot % len(self.gpus)])
        return env

    def _hand_on(self, number: int, _: object) -> None:
        self.stopped = number
        for process in list(self.running):
            if process.poll() is None:
                process.send_signal(number)
