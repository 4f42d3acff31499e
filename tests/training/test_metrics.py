"""Where the numbers of training go: every writer gets every row once, in order, and forgets what is done again."""

import json

import pytest
import torch

from ssl_cli.training.metrics import JsonLines, Metrics, SinceLastRow, Writer


class Memory(Writer):
    """A writer as a tracker would be one."""

    def __init__(self):
        self.rows, self.pictures, self.closed = [], [], []

    def write(self, row):
        self.rows.append(dict(row))

    def drop_after(self, step):
        self.rows = [row for row in self.rows if row["step"] <= step]

    def picture(self, step, name, png):
        self.pictures.append((step, name, png))

    def close(self, state):
        self.closed.append(state)


def test_every_writer_has_the_rows_of_the_file(tmp_path):
    memory = Memory()
    with Metrics([JsonLines(tmp_path / "metrics.jsonl"), memory]) as metrics:
        metrics.drop_after(0)  # a new run has no file yet
        for step in (1, 2, 3):
            metrics.write({"step": step, "loss": 1 / step, "val_knn": None})
        metrics.drop_after(2)
        metrics.write({"step": 3, "loss": 7.0})
        metrics.picture(3, "plots/a", b"png")
        metrics.state = "finished"
    written = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert written == memory.rows and [row["step"] for row in written] == [1, 2, 3]
    assert written[-1]["loss"] == 7.0 and memory.closed == ["finished"] and memory.pictures == [(3, "plots/a", b"png")]
    assert JsonLines(tmp_path / "metrics.jsonl").rows(2) == memory.rows[:2]


def test_writers_are_closed_when_training_fails():
    memory = Memory()
    with pytest.raises(ZeroDivisionError), Metrics([memory]):
        raise ZeroDivisionError
    assert memory.closed == ["failed"]


def test_a_row_that_was_cut_short_is_dropped_with_those_after_the_step(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1}\n{"step": 5}\nno json\n{"epoch": 1}\n{"step": 2}\n{"ste')
    JsonLines(file).drop_after(3)
    assert file.read_text() == '{"step": 1}\n{"step": 2}\n'
    assert list(tmp_path.iterdir()) == [file]


def test_a_row_is_the_mean_over_the_steps_that_count():
    since = SinceLastRow(10)
    assert since.means() == {}
    for loss, extra in ((1.0, 4.0), (3.0, 8.0)):
        since.add({"loss": torch.tensor(loss), "extra": torch.tensor(extra)})
    assert since.means() == {"loss": 2.0, "extra": 6.0}
    since.forget()
    assert since.means() == {} and since.step == 10
    since.add({"loss": torch.tensor(5.0)})
    assert since.means() == {"loss": 5.0}
    since.restart(12)
    assert since.means() == {} and since.step == 12
