"""Which runs there are, which of them `last` and `best` mean, and `ssl runs`."""

import json
import os
import platform
import subprocess
import sys
import time

import pytest

from ssl_cli.errors import UserError
from ssl_cli.runs.catalog import checkpoint_file, find_run, find_runs, headline


def put(path, age=0, **summary):
    """Write what a run leaves, `age` seconds after the first."""
    (path / "checkpoints").mkdir(parents=True)
    files = [path / "summary.json", path / "checkpoints/last.pt", path / "checkpoints/best.pt"]
    files[0].write_text(json.dumps({"state": "finished", "method": "simclr", "dataset": "digits", **summary}))
    for file in files[1:]:
        file.write_text("weights")
    for file in files:
        os.utime(file, (1e9 + age, 1e9 + age))
    return path


def row(model, probe, labels, mean):
    return {"model": model, "probe": probe, "labels": labels, "metric": "accuracy", "mean": mean}


@pytest.fixture
def in_utc(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs"


def test_last_is_the_latest_run_with_a_checkpoint_in_a_sweep_or_not(outputs, capsys):
    put(outputs / "2026-01-01/10-00-00-simclr-digits", age=1)
    put(outputs / "2026-01-02/09-00-00-sweep/0-seed-1", age=3)
    put(outputs / "mine", age=2)
    failed = put(outputs / "2026-01-03/10-00-00-simclr-digits", age=9, state="failed")
    (failed / "checkpoints/last.pt").unlink()
    assert find_run("last").name == "0-seed-1"
    assert (
        "ckpt=last: outputs/2026-01-02/09-00-00-sweep/0-seed-1 (simclr on digits, finished)" in capsys.readouterr().out
    )
    assert checkpoint_file("last", "init").parts[-2:] == ("checkpoints", "last.pt")
    assert [record["run"].rsplit("/", 1)[1] for record in find_runs()][0] == "10-00-00-simclr-digits"
    (outputs / "2026-01-02/09-00-00-sweep/0-seed-1/summary.json").unlink()  # copied without it: still a run
    assert find_run("last").name == "0-seed-1"


def test_a_copy_keeps_its_place_for_the_times_are_those_that_the_run_has_written(outputs, in_utc):
    logs = {"b-last": "2026-01-03 08:00:00", "c-first": "2026-01-01 10:00:00", "a-second": "2026-01-02 23:59:59"}
    for age, (name, moment) in enumerate(logs.items()):  # copied in this order
        run = put(outputs / name, age)
        (run / "train.log").write_text(
            f"2025-01-01 00:00:00  began\n{moment}  step 9\n  2027-01-01 00:00:00  of a text"
        )
        (run / "env.json").write_text(json.dumps({"started": "2025-01-01T00:00:00+0000"}))
    records = find_runs()
    assert [record["run"] for record in records] == [f"outputs/{name}" for name in ("b-last", "a-second", "c-first")]
    assert {record["date"] for record in records} == {"2025-01-01 00:00"}
    assert find_run("last").name == "b-last"
    # Written at 08:30 in New York, which is 13:30 here.
    (outputs / "c-first/train.log").write_text("2026-01-03 08:30:00  step 9\n")
    (outputs / "c-first/env.json").write_text(json.dumps({"started": "2025-01-01T00:00:00-0500"}))
    (outputs / "b-last/train.log").write_text("2026-01-03 12:00:00  step 9\n")
    assert find_run("last").name == "c-first" and find_runs()[0]["date"] == "2025-01-01 05:00"
    (outputs / "c-first/train.log").unlink()  # then the start is what is known
    assert find_run("last").name == "b-last"


def test_best_is_by_knn_on_val_among_runs_of_the_same_images_and_labels(outputs, capsys):
    put(outputs / "a/other-data", 0, best_val_knn=0.99, splits="other", labels="all")
    put(outputs / "a/other-labels", 0, best_val_knn=0.98, splits="s", labels="4/class")
    put(outputs / "a/good", 1, best_val_knn=0.9, splits="s", labels="all")
    put(outputs / "a/worse", 2, best_val_knn=0.8, splits="s", labels="all")
    put(outputs / "a/unmeasured", 3, best_val_knn=None, splits="s", labels="all")
    assert checkpoint_file("best") == outputs.relative_to(outputs.parent) / "a/good/checkpoints/best.pt"
    said = capsys.readouterr().out
    assert "a/good" in said and "val kNN 90.0, the highest of 2 runs on the same data and labels" in said


def test_what_is_not_there_is_one_line_that_names_the_setting(outputs):
    for reference in ("last", "best"):
        with pytest.raises(UserError, match=f"init={reference}: there is no run with a checkpoint"):
            find_run(reference, "init")
    put(outputs / "a", best_val_knn=None)
    with pytest.raises(UserError, match="no run below outputs has a kNN accuracy"):
        find_run("best")
    with pytest.raises(UserError, match="ckpt=nowhere does not exist"):
        checkpoint_file("nowhere")
    (outputs / "a/checkpoints/last.pt").unlink()
    with pytest.raises(UserError, match="is not a run with a checkpoint"):
        checkpoint_file("outputs/a")


def test_the_headline_is_the_linear_probe_with_the_most_labels():
    rows = [row("pixels", "linear", "all", 0.1), row("simclr", "knn", "all", 0.2)]
    rows += [row("simclr", "linear", "all", 0.3), row("simclr", "linear", "1/class", 0.4)]
    assert headline({"method": "simclr", "results": rows})["mean"] == 0.3
    rows = [*rows[:1], row("supervised", "knn", "all", 0.2), row("supervised", "classifier", "all", 0.5)]
    assert headline({"method": "supervised", "results": rows})["mean"] == 0.5
    assert headline({"method": "supervised", "results": rows[:1]}) is None and headline({}) is None


def test_a_run_whose_process_is_gone_was_killed(outputs):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    put(outputs / "gone", 1, state="running", pid=dead.pid, host=platform.node())
    put(outputs / "alive", 2, state="running", pid=os.getpid(), host=platform.node())
    put(outputs / "elsewhere", 3, state="running", pid=dead.pid, host="another machine")
    assert [record["state"] for record in find_runs()] == ["running", "running", "killed"]
    assert find_runs()[0]["silent_seconds"] > 1000


def test_runs_are_listed_newest_first_without_torch(ssl):
    for number, (state, collapsed) in enumerate((("finished", False), ("finished", True), ("failed", False))):
        results = [row("pixels", "linear", "all", 0.5), row("[red]x", "linear", "all", 0.987)] if number == 0 else []
        put(
            *(ssl.cwd / f"outputs/2026-01-0{number + 1}/12-00-00-[red]x", number),
            **{"state": state, "collapsed": collapsed, "method": "[red]x", "dataset": "<b>"},
            **{"best_val_knn": 0.5, "results": results},
        )
    (ssl.cwd / "outputs/torn").mkdir()
    (ssl.cwd / "outputs/torn/summary.json").write_text('{"state": "fin')
    outcome = ssl("runs", "--to", "json", process="fresh")
    assert outcome.status == 0, outcome.err
    records = json.loads(outcome.out)
    assert [record["state"] for record in records] == ["unreadable", "failed", "collapsed", "finished"]
    assert records[-1]["test"] == {"probe": "linear", "labels": "all", "metric": "accuracy", "mean": 0.987}
    assert not {"torch", "hydra", "omegaconf", "numpy"} & outcome.modules
    table = ssl("runs", "-n", "2", COLUMNS="160")
    assert "[red]x" in table.out and "<b>" in table.out and "collapsed" not in table.out
    assert "98.7 linear" in ssl("runs", COLUMNS="160").out
    narrow = ssl("runs", COLUMNS="60").out
    assert "test 98.7 linear" in narrow and "  outputs/2026-01-01/12-00-00-[red]x\n" in narrow
    for args, text in ((["nowhere"], "nowhere"), (["-n", "0"], "-n 0"), (["--to", "xml"], "xml"), (["-q"], "-q")):
        outcome = ssl("runs", *args)
        assert outcome.status == 2 and text in outcome.err and len(outcome.err.strip().splitlines()) == 1
    assert "usage: ssl runs" in ssl("runs", "--help").out
