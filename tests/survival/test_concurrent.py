"""Several at once: runs that start in the same second, and two processes that would go on with one run.

The whole figure, 32 at once: pytest -m slow tests/survival/test_concurrent.py
"""

import json
import os
import signal
import socket
import time
from datetime import datetime
from pathlib import Path

import pytest
from forks import arguments, assert_same_end, hold
from warm import command, finish, start

from ssl_cli.errors import UserError
from ssl_cli.runs.lock import RunLock, holder_lives, read_holder


def arrive_together(directory, number, count):
    """Let all of ``count`` processes have the same clock, and claim their directories at the same moment."""
    import hydra.core.utils

    from ssl_cli.runs.directory import RunDir

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2030, 1, 2, 3, 4, 5)

    hydra.core.utils.datetime = Clock
    real = RunDir.create

    def create(*args, **kwargs):
        Path(directory, f"here-{number}").touch()
        while len(list(Path(directory).glob("here-*"))) < count:
            time.sleep(0.001)
        return real(*args, **kwargs)

    RunDir.create = create


@pytest.mark.parametrize("count", [2, pytest.param(32, marks=pytest.mark.slow)])
def test_runs_of_the_same_second_have_their_own_directories(tmp_path, count):
    argv = [*arguments("moco")[:-1], "trainer.epochs=1"]
    processes = [
        start(command, [*argv, f"seed={i}"], tmp_path, arrive_together, str(tmp_path), i, count) for i in range(count)
    ]
    for process in processes:
        process.join(500)
    assert [process.exitcode for process in processes] == [0] * count, (tmp_path / "err").read_text()
    runs = sorted((tmp_path / "outputs/2030-01-02").iterdir())
    assert {run.name for run in runs} == {
        "03-04-05-moco-shapes" + (f"-{i}" if i > 1 else "") for i in range(1, count + 1)
    }
    seeds = set()
    for run in runs:
        summary = json.loads((run / "summary.json").read_text())
        assert summary["state"] == "finished"
        assert finish(command, ["check", str(run)], tmp_path) == 0
        seeds.add(summary["seed"])
    assert seeds == set(range(count))  # none has another's content


def wait_for(file, process):
    while not file.exists():
        assert process.is_alive()
        time.sleep(0.01)


def test_who_is_second_is_told_who_is_first_and_a_dead_ones_lock_is_taken_over(straight, tmp_path):
    first = start(
        command,
        arguments("moco"),
        tmp_path,
        hold,
        "ssl_cli.training.loop",
        "accumulation_parts",
        6,
        str(tmp_path),
        60.0,
    )
    wait_for(tmp_path / "here", first)
    assert finish(command, ["train", "resume=run"], tmp_path) == 2
    err = (tmp_path / "err").read_text()
    assert f"error: run is in use by process {first.pid} on " in err and err.count("\n") == 1
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    assert (tmp_path / "run/lock").exists()
    # Then two at once: one goes on, the other is told so, or comes when all is done.
    both = [start(command, ["train", "resume=run"], tmp_path) for _ in range(2)]
    for process in both:
        process.join(300)
    assert sorted(process.exitcode for process in both) in ([0, 2], [0, 0])
    assert_same_end(tmp_path / "run", straight("moco"))
    assert not (tmp_path / "run/lock").exists()


def test_a_holder_lives_as_long_as_its_process_or_for_ever_elsewhere(tmp_path):
    gone = os.fork()
    if gone == 0:
        os._exit(0)
    os.waitpid(gone, 0)
    here = socket.gethostname()
    assert not holder_lives(tmp_path)
    for pid, host, lives in ((gone, here, False), (os.getppid(), here, True), (gone, "elsewhere", True)):
        (tmp_path / "lock.json").write_text(json.dumps({"pid": pid, "host": host, "since": "yesterday"}))
        assert holder_lives(tmp_path) is lives
    (tmp_path / "lock").touch()  # left by one that was killed
    with RunLock(tmp_path):
        assert read_holder(tmp_path)["pid"] == os.getpid()
        with pytest.raises(UserError, match=f"in use by process {os.getpid()} on {here}, since .*; stop that process"):
            RunLock(tmp_path).__enter__()
    assert not list(tmp_path.iterdir())
