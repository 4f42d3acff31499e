"""A sweep in which one job fails, and one takes the whole process with it: what is done stays, the rest is made up."""

import json
import os
import signal

from forks import arguments
from warm import command, finish

SWEEP = [*arguments("moco")[:-1], "trainer.epochs=1", "-m", "seed=0,1,2,3", "hydra.sweep.dir=sweep"]


def unlucky():
    """Let the second job fail by a bug, and the third be killed after its second step."""
    from ssl_cli.training import loop

    real, steps = loop.accumulation_parts, []

    def parts(*args):
        steps.append(1)
        if len(steps) == 6:  # of 4 a job
            raise ZeroDivisionError("a bug")
        if len(steps) == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)

    loop.accumulation_parts = parts


def test_a_sweep_in_which_jobs_crash_is_completed_by_the_same_command(tmp_path):
    assert finish(command, SWEEP, tmp_path, unlucky) == -signal.SIGKILL
    runs = sorted(tmp_path.glob("sweep/*-*"))
    states = [json.loads((run / "summary.json").read_text())["state"] for run in runs]
    assert states == ["finished", "failed", "running"]
    err = (tmp_path / "err").read_text()
    assert "ZeroDivisionError: a bug" in err
    first = {file: file.stat().st_mtime_ns for file in runs[0].rglob("*")}
    assert finish(command, SWEEP, tmp_path) == 0, (tmp_path / "err").read_text()
    assert len(runs := sorted(tmp_path.glob("sweep/*-*"))) == 4
    for run in runs:
        assert json.loads((run / "summary.json").read_text())["state"] == "finished"
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    assert {file: file.stat().st_mtime_ns for file in runs[0].rglob("*")} == first
