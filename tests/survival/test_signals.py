"""SIGINT, SIGTERM, once and twice, SIGUSR1 and the time budget, in each phase of a run: the exit status, and going on.

The whole figure, 60 cases: pytest -m slow tests/survival/test_signals.py
"""

import contextlib
import fcntl
import json
import os
import signal
import termios
import time

import pytest
from forks import arguments, assert_same_end, hold
from warm import command, finish, start

from ssl_cli.system.signals import Interrupted, StopRequest, interruptible

PHASES = {  # where a run is when it is interrupted: the function that it is in, and which call of it
    "start": ("ssl_cli.setup.prepare", "build_method", 1),
    "train": ("ssl_cli.training.loop", "accumulation_parts", 6),
    "evaluate": ("ssl_cli.training.monitor", "monitor_knn", 1),
    "save": ("ssl_cli.runs.checkpoint", "keep", 3),
    "measure": ("ssl_cli.probes.measure", "measure_with_baselines", 1),
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
    pause = 1.3 if way == "sigterm twice" else 0.2  # it takes two within a second for one
    held = (*PHASES[phase], str(tmp_path), 1.5 + pause)
    process = start(command, [*arguments(method), *budget], tmp_path, hold, *held)
    while process.is_alive() and not (tmp_path / "here").exists():
        time.sleep(0.01)
    for number in signals:
        time.sleep(pause)
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


def begin_on_terminal(name, ignored, *held):
    """Let this process lead the session of a terminal, as the first command of a shell's does."""
    os.setsid()
    terminal = os.open(name, os.O_RDWR)
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    for stream in range(3):
        os.dup2(terminal, stream)
    os.close(terminal)
    signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    hold(*held)


@pytest.mark.parametrize("ignored", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_terminal_that_hangs_up_ends_the_run_as_ctrl_c_does_or_is_done_without(straight, tmp_path, ignored):
    held = ("ssl_cli.training.loop", "accumulation_parts", 6, str(tmp_path), 1.0)
    master, slave = os.openpty()
    process = start(command, arguments("moco"), tmp_path, begin_on_terminal, os.ttyname(slave), ignored, *held)
    os.set_blocking(master, False)
    seen = b""
    while not (tmp_path / "here").exists():
        with contextlib.suppress(BlockingIOError):
            seen += os.read(master, 4096)
        assert process.is_alive(), seen
        time.sleep(0.01)
    os.close(slave)
    os.close(master)
    process.join(100)
    assert process.exitcode == (0 if ignored else 128 + signal.SIGHUP), seen
    state = json.loads((tmp_path / "run/summary.json").read_text())["state"]
    assert state == ("finished" if ignored else "interrupted")
    assert ignored or finish(command, ["train", "resume=run"], tmp_path) == 0, (tmp_path / "err").read_text()
    assert_same_end(tmp_path / "run", straight("moco"))


def read_for_six_steps():
    from ssl_cli.training import loop

    reading, writing = os.pipe()
    os.dup2(writing, 1)
    real, steps = loop.accumulation_parts, []

    def parts(*args):
        steps.append(1)
        if len(steps) == 6:
            os.close(reading)
        return real(*args)

    loop.accumulation_parts = parts


def test_training_goes_on_where_nobody_reads_its_lines_any_more(straight, tmp_path):
    assert finish(command, arguments("moco"), tmp_path, read_for_six_steps) == 0, (tmp_path / "err").read_text()
    assert_same_end(tmp_path / "run", straight("moco"))


def test_what_is_handed_on_twice_is_one_and_a_second_signal_is_not(monkeypatch):
    with interruptible(), StopRequest() as stop:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGUSR1):
            os.kill(os.getpid(), number)
        assert stop.requested and stop.status == 128 + signal.SIGTERM and stop.reason == "SIGTERM"
        monkeypatch.setattr("ssl_cli.system.signals.SAME", 0.0)
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(Interrupted, match="SIGTERM"):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
    with interruptible(), StopRequest() as stop, pytest.raises(Interrupted, match="SIGINT"):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)


def test_what_is_ignored_from_the_start_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with interruptible(), StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)
