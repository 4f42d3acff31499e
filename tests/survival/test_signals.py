"""SIGINT, SIGTERM, once and twice, SIGUSR1 and the time budget, in each phase of a run: the exit status, and going on.

The whole figure, 60 cases: pytest -m slow tests/survival/test_signals.py
"""

import json
import os
import signal
import time

import pytest
from forks import arguments, assert_same_end, command, finish, hold, start

PHASES = {  # where a run is when it is interrupted: the function that it is in, and which call of it
    "start": ("ssl_cli.setup", "build_method", 1),
    "train": ("ssl_cli.trainer", "split", 6),
    "evaluate": ("ssl_cli.evaluation", "monitor_knn", 1),
    "save": ("ssl_cli.checkpoint", "keep", 3),
    "measure": ("ssl_cli.measure", "compare", 1),
}
WAYS = {  # the signals that are sent, and the exit statuses that these have
    "ctrl-c": ([signal.SIGINT], {130}),
    "ctrl-c twice": ([signal.SIGINT] * 2, {130}),
    "sigterm": ([signal.SIGTERM], {143}),
    "sigterm twice": ([signal.SIGTERM] * 2, {143, -15}),
    "sigusr1": ([signal.SIGUSR1], {138}),
    "time": ([], {124}),
}
CASES = [(method, phase, way) for method in ("moco", "fixmatch") for phase in PHASES for way in WAYS]
SHORT = [("moco", "train", "sigterm"), ("moco", "save", "ctrl-c"), ("moco", "measure", "sigusr1")]


@pytest.mark.parametrize(
    "method, phase, way",
    [pytest.param(*case, marks=[] if case in SHORT else pytest.mark.slow) for case in CASES],
)
def test_a_run_that_is_interrupted_goes_on_exactly(straight, tmp_path, method, phase, way):
    signals, statuses = WAYS[way]
    budget = ["trainer.max_time=1s"] if way == "time" else []
    held = (*PHASES[phase], str(tmp_path), 3.0 if signals else 1.5)
    process = start(command, [*arguments(method), *budget], tmp_path, hold, *held)
    while process.is_alive() and not (tmp_path / "here").exists():
        time.sleep(0.01)
    for number in signals:
        time.sleep(0.2)
        if process.is_alive():
            os.kill(process.pid, number)
    process.join(300)
    assert process.exitcode in statuses, (tmp_path / "err").read_text()
    assert "Traceback" not in (tmp_path / "err").read_text()
    begun = (tmp_path / "run/config.yaml").exists()
    assert begun or phase == "start"
    if begun and process.exitcode != -15:
        assert json.loads((tmp_path / "run/summary.json").read_text())["state"] == "interrupted"
        assert "ssl train resume=run" in (tmp_path / "out").read_text()
    onward = ["train", "resume=run", *(["trainer.max_time=1d"] if budget else [])] if begun else arguments(method)
    assert finish(command, onward, tmp_path) == 0, (tmp_path / "err").read_text()
    assert_same_end(tmp_path / "run", straight(method))
    assert json.loads((tmp_path / "run/summary.json").read_text())["state"] == "finished"
