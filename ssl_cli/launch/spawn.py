"""Ranks as processes of this machine: started with the finished job, watched, and ended together."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ssl_cli.errors import RunError, UserError
from ssl_cli.launch.place import Place
from ssl_cli.launch.ranks import run_rank
from ssl_cli.runs.directory import RunDir
from ssl_cli.runs.job import Job
from ssl_cli.system.signals import handling

GRACE = 10.0  # seconds that the other ranks have to end by themselves when one has failed


class Rank:
    """One started process: its place, and what it has told."""

    def __init__(self, place: Place, job: Job):
        self.place = place
        self.told: dict[str, Any] | None = None  # the failure, in its own words
        self.run: str | None = None  # the directory of a new run
        self.ended_by_us = False
        reading, writing = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from ssl_cli.launch.spawn import child; child()"],
            stdin=subprocess.PIPE,
            stdout=None if place.rank == 0 else subprocess.DEVNULL,
            pass_fds=(writing,),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C is for this process, which hands it on
            text=True,
        )
        os.close(writing)
        self.pipe = os.fdopen(reading)
        order = {"place": asdict(place), "job": asdict(job), "argv": sys.argv, "pipe": writing}
        # The pipe stays open: its end tells the rank that this process is gone.
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def ended(self) -> bool:
        """Return whether it has ended; if so, read its last messages."""
        if self.process.poll() is None:
            return False
        if not self.pipe.closed:
            for line in self.pipe:
                word = json.loads(line)
                self.run, self.told = word.get("run", self.run), word if "message" in word else self.told
            self.pipe.close()
        return True

    @property
    def failed(self) -> bool:
        """Whether it has ended otherwise than by finishing, or by saving when it was asked to stop."""
        return self.ended() and (self.told is not None or self.process.returncode < 0 or self.process.returncode == 1)

    def kill(self) -> None:
        """End it at once."""
        if not self.ended():
            self.ended_by_us = True
            self.process.kill()
            self.process.wait()

    def last_words(self) -> str:
        """Return a sentence about how it ended."""
        if self.told is not None:
            return self.told["message"]
        code, name = self.process.returncode, f"rank {self.place.rank} of {self.place.world}"
        if code >= 0:
            return f"{name} ended with exit status {code}"
        hint = ": if nobody did that, the machine had no memory left" if -code == signal.SIGKILL else ""
        return f"{name} was killed by signal {-code} ({signal.Signals(-code).name}){hint}"


def spawn(job: Job, world: int) -> int:
    """Do a job on ``world`` processes of this machine.

    Returns:
        The exit status of rank 0.

    Raises:
        RunError: a rank failed, or hung longer than ``trainer.rank_timeout``; the others were stopped.
        UserError: something in the config that only the data can show to be wrong.
    """
    with tempfile.TemporaryDirectory(prefix="ssl-ranks-") as scratch:
        places = [Place(rank, world, rank, world, f"file://{scratch}/store") for rank in range(world)]
        with handing_on_signals() as (ranks, sent):
            try:
                ranks += [Rank(place, job) for place in places]
                watch(ranks)
            finally:
                for rank in ranks:
                    rank.kill()
    failed = [rank for rank in ranks if rank.failed]
    if sent and all(rank.told is None for rank in failed):
        return ranks[0].process.returncode if ranks[0].process.returncode > 0 else 128 + sent[-1]
    if failed:
        raise_failure(failed, RunDir(Path(ranks[0].run or job.target)), job.config["trainer"]["rank_timeout"])
    return ranks[0].process.returncode


def watch(ranks: list[Rank]) -> None:
    """Return when all ranks have ended, or some time after one has failed."""
    failed_at = None
    while not all(rank.ended() for rank in ranks):
        time.sleep(0.05)
        if failed_at is None and any(rank.failed for rank in ranks):
            failed_at = time.monotonic()
        if failed_at is not None and time.monotonic() - failed_at > GRACE:
            return


def raise_failure(failed: list[Rank], run_dir: RunDir, timeout: float) -> None:
    """Raise the error of the rank that failed by itself, not for the loss of another; leave it in the run's summary."""
    own = [rank for rank in failed if not rank.ended_by_us and not (rank.told and rank.told["lost"])]
    lost = [rank for rank in failed if rank.told and rank.told["lost"]]
    if own and own[0].told and own[0].told["status"] == 2:
        raise UserError(own[0].told["message"])
    if own:
        cause = own[0].last_words()
        if own[0].told and own[0].told["trace"]:
            print(own[0].told["trace"], file=sys.stderr, end="")
    else:
        silent = set.intersection(*(set(rank.told["silent"]) for rank in lost)) if lost else set()
        who = f"rank {', '.join(map(str, sorted(silent)))} of {failed[0].place.world}" if silent else "a rank"
        cause = f"{who} hangs: the others have waited {timeout:g} s for it (trainer.rank_timeout)"
    if run_dir.summary.get("state") in ("running", "failed"):
        run_dir.write("summary.json", {**run_dir.summary, "state": "failed", "error": cause})
        run_dir.log(f"failed: {cause}")
    raise RunError(f"{cause}; the other ranks were stopped; {resume_hint(run_dir)}")


def resume_hint(run_dir: RunDir) -> str:
    """Return how to resume a failed run, or that there is no checkpoint."""
    from ssl_cli.runs.directory import resume_command

    if any(run_dir.checkpoint_file().parent.glob("*.pt")):
        return f"to go on from the last checkpoint: {resume_command(run_dir)}"
    return "no checkpoint had been written yet"


@contextmanager
def handing_on_signals() -> Iterator[tuple[list[Rank], list[int]]]:
    """Hand signals on to the ranks, which know what to do with them; gives the list of ranks, and that of signals."""
    ranks: list[Rank] = []
    sent: list[int] = []

    def hand_on(number: int, _: object) -> None:
        sent.append(number)
        for rank in ranks:
            if rank.process.poll() is None:
                rank.process.send_signal(number)

    with handling(hand_on):
        yield ranks, sent


def child() -> None:
    """Run one rank: read the job from standard input, report a failure through the pipe, exit."""
    order = json.loads(sys.stdin.readline())
    sys.argv = order["argv"]
    threading.Thread(target=end_with_parent, daemon=True).start()

    pipe = os.fdopen(order["pipe"], "w", buffering=1)

    def tell(word: dict[str, Any]) -> None:
        pipe.write(json.dumps(word) + "\n")

    status = run_rank(Place(**order["place"]), Job(**order["job"]), tell)
    sys.stdout.flush()
    os._exit(status)  # without the usual clean-up, which could wait for ranks that are gone


def end_with_parent() -> None:
    """End this process when the one that started it is gone, however it went."""
    sys.stdin.read()
    os._exit(1)
