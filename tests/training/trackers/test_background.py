"""Training neither waits for a tracker nor fails with it, and each number reaches it once."""

import threading

import pytest

from ssl_cli.training.trackers import background
from ssl_cli.training.trackers.background import Background
from ssl_cli.training.trackers.base import ANY, TrackedRun, Tracker, numbers, plain, scores

ROWS = [{"step": step, "loss": 1 / step, "val_knn": None} for step in (1, 2, 3)]
RESULT = {"model": "simclr", "probe": "linear", "labels": "10%", "target": None, "metrics": {"accuracy": {"mean": 0.5}}}


class Memory(Tracker):
    """Keeps what it gets; fails, or waits, in the call of that name."""

    def __init__(self, has=None, fails="", waits=""):
        self.has, self.fails, self.waits = has or {}, fails, waits
        self.calls, self.rows, self.go = [], [], threading.Event()

    def called(self, name):
        self.calls.append(name)
        if name == self.waits:
            self.go.wait(10)
        if name == self.fails:
            raise OSError(28, "No space left on device")

    def open(self, run, step):
        self.opened = (run, step)
        self.called("open")
        return self.has

    def write(self, rows):
        self.called("write")
        self.rows += [(row.step, row.values) for row in rows]

    def drop_after(self, step):
        self.called("drop_after")

    def picture(self, step, name, png):
        self.called("picture")

    def results(self, step, rows):
        self.called("results")

    def close(self, state):
        self.called("close")
        self.state = state


@pytest.fixture
def told():
    return []


@pytest.fixture
def run(tmp_path):
    return TrackedRun(tmp_path, "abc", "run", None, {})


def test_the_rows_that_there_were_come_first_and_nothing_comes_twice(run, told):
    tracker = Memory({"loss": 2})
    writer = Background("memory", tracker, run, ROWS, 3, told.append)
    writer.write({"step": 4, "loss": 0.25, "collapsed": True, "note": "x", "lr": float("nan")})
    writer.write({"step": 4, "loss": 7.0, "val_knn": 0.5})
    writer.results(4, [RESULT])
    writer.results(4, [RESULT])
    writer.close("finished")
    assert tracker.opened == (run, 3) and tracker.state == "finished" and told == []
    assert tracker.rows == [
        *[(3, {"loss": 1 / 3}), (4, {"loss": 0.25, "collapsed": 1.0}), (4, {"val_knn": 0.5})],
        (4, {"test/simclr/linear/10pct/accuracy": 0.5}),
    ]
    assert tracker.calls.count("results") == 1


def test_a_tool_that_only_knows_its_last_step_gets_what_is_later(run):
    tracker = Memory({ANY: 2})
    Background("memory", tracker, run, ROWS, 3).close("interrupted")
    assert tracker.rows == [(3, {"loss": 1 / 3})] and tracker.state == "interrupted"


def test_going_back_reaches_the_tracker_only_if_there_is_something_to_forget(run):
    tracker = Memory()
    writer = Background("memory", tracker, run, ROWS, 3)
    writer.drop_after(3)
    writer.drop_after(2)
    writer.close("finished")
    assert tracker.calls.count("drop_after") == 1


@pytest.mark.parametrize("call", ["open", "write", "drop_after", "picture", "results", "close"])
def test_an_error_in_any_call_is_told_once_and_nothing_more_is_sent(call, run, told):
    tracker = Memory(fails=call)
    writer = Background("memory", tracker, run, ROWS, 3, told.append)
    for step in range(4, 8):
        writer.write({"step": step, "loss": 1.0})
        writer.picture(step, "plots/a", b"")
    writer.drop_after(5)
    writer.results(8, [RESULT])
    writer.close("finished")
    (line,) = told
    assert "warning: tracker=memory" in line and "No space left on device" in line and "\n" not in line
    assert tracker.calls.count(call) == 1 and tracker.calls[-1] == call
    assert writer.complaint() is None


def test_an_error_is_told_while_training_goes_on(run):
    writer = Background("memory", Memory(fails="open"), run, [], 0)
    writer.thread.join(10)
    writer.write(ROWS[0])
    assert "No space left" in writer.complaint() and writer.complaint() is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_tool_that_ends_its_process_ends_only_its_thread(error, run, told, monkeypatch):
    tracker = Memory()
    monkeypatch.setattr(tracker, "open", lambda *_: (_ for _ in ()).throw(error("no")))
    Background("memory", tracker, run, [], 0, told.append).close("finished")
    assert error.__name__ in told[0]


def test_a_tool_that_hangs_is_left_at_the_end(run, told, monkeypatch):
    monkeypatch.setattr(background, "PATIENCE", 0.02)
    monkeypatch.setattr(background, "QUIET", 0.01)
    tracker = Memory(waits="write")
    writer = Background("memory", tracker, run, ROWS, 3, told.append)
    writer.close("finished")
    tracker.go.set()
    assert [line.split()[0] for line in told] == ["waiting", "warning:"] and "no answer" in told[1]


def test_a_tool_that_does_not_keep_up_is_left_out(run, monkeypatch):
    monkeypatch.setattr(background, "WAITING", 10)
    tracker = Memory(waits="open")
    writer = Background("memory", tracker, run, [], 0)
    for step in range(100):
        writer.write({"step": step, "loss": 1.0})
    assert writer.tasks.qsize() <= 12 and "rows wait" in writer.complaint()
    tracker.go.set()
    writer.close("finished")


def test_rows_that_wait_together_are_one_call(run):
    tracker = Memory(waits="open")
    writer = Background("memory", tracker, run, ROWS, 3)
    writer.drop_after(1)
    writer.write({"step": 4, "loss": 1.0})
    tracker.go.set()
    writer.close("finished")
    assert tracker.calls == ["open", "write", "drop_after", "write", "close"]


def test_names_and_numbers_are_such_as_every_tool_takes():
    assert plain("test/a b/10%/R²: é") == "test/a b/10pct/R²_ é"
    row = numbers({"step": 3, "loss": float("inf"), "lr": 1, "flag": False, "none": None, "text": "1"})
    assert (row.step, row.values) == (3, {"lr": 1.0, "flag": 0.0})
    assert scores([{**RESULT, "target": "age"}]) == {"test/simclr/linear/10%/age/accuracy": 0.5}
