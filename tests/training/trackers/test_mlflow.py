"""MLflow's files of a run that is killed and goes on: one run, each step once."""

from importlib.util import find_spec

import pytest
import tracked

from ssl_cli.training.trackers import mlflow
from ssl_cli.training.trackers.background import Background
from ssl_cli.training.trackers.base import TrackedRun
from ssl_cli.training.trackers.mlflow import MLflow

pytestmark = pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is not installed")

ROWS = [{"step": step, "loss": 1 / step, **({"val_knn": 0.5} if step % 3 == 0 else {})} for step in range(1, 10)]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """What a tracker sets in the environment ends with the test."""
    for name in (*mlflow.ENVIRONMENT, "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def a_run(path, identity="abc", group=None):
    return TrackedRun(path, identity, path.name, group, {"seed": 3, "method": {"temperature": 0.2}})


def begun(run, rows, step, uri=None, files=True):
    return Background("mlflow", MLflow(uri=uri, experiment="ssl", files=files), run, rows, step)


def killed(writer):
    writer.tasks.put(None)
    writer.thread.join(20)
    assert writer.complaint() is None


def test_a_killed_run_is_one_run_with_each_step_once(tmp_path):
    run, store = a_run(tmp_path / "run"), tmp_path / "run/mlruns"
    (store / "12/half").mkdir(parents=True)  # a kill while the first run was made
    (store / "12/meta.yaml").write_text("artifact_loc")
    writer = begun(run, [], 0)
    for row in ROWS[:7]:
        writer.write(row)
    killed(writer)
    (store / "lost").mkdir()  # of another kill
    writer = begun(run, ROWS[:4], 4)
    for row in ROWS[4:]:
        writer.write({**row, "loss": 7.0})
    writer.picture(9, "plots/reconstruction", b"png")
    writer.results(9, [{"model": "simclr", "probe": "knn", "labels": "all", "metrics": {"accuracy": {"mean": 0.5}}}])
    (tmp_path / "run/checkpoints").mkdir()
    (tmp_path / "run/checkpoints/last.pt").write_text("weights")
    (tmp_path / "run/summary.json").write_text("{}")
    writer.close("finished")
    assert writer.complaint() is None
    found = tracked.mlflow(store)
    assert [step for step, _ in found["loss"]] == list(range(1, 10)) and dict(found["loss"])[5] == 1 / 5
    assert found["val_knn"] == [(3, 0.5), (6, 0.5), (9, 0.5)] and found["test/simclr/knn/all/accuracy"] == [(9, 0.5)]
    (kept,) = store.glob("*/*/artifacts")
    names = {str(file.relative_to(kept)) for file in kept.rglob("*") if file.is_file()}
    assert names == {
        *("run/checkpoints/last.pt", "run/summary.json", "results.md", "plots/reconstruction/00000009.png"),
    }
    assert (kept / "run/checkpoints/last.pt").samefile(tmp_path / "run/checkpoints/last.pt")
    meta = (kept.parent / "meta.yaml").read_text()
    assert "\nstatus: 3\n" in meta and "\nrun_name: run\n" in meta
    assert (kept.parent / "params/method.temperature").read_text() == "0.2"


def test_a_run_that_has_moved_keeps_its_files_where_it_is(tmp_path):
    begun(a_run(tmp_path / "run"), ROWS[:2], 2).close("interrupted")
    (tmp_path / "run").rename(tmp_path / "moved")
    (tmp_path / "moved/summary.json").write_text("{}")
    writer = begun(a_run(tmp_path / "moved"), ROWS[:3], 3)
    writer.close("finished")
    assert writer.complaint() is None and not (tmp_path / "run").exists()
    assert list((tmp_path / "moved/mlruns").glob("*/*/artifacts/run/summary.json"))
    assert len(tracked.mlflow(tmp_path / "moved/mlruns")["loss"]) == 3


def test_jobs_of_a_sweep_in_one_store_have_the_tag_of_the_sweep(tmp_path):
    runs = [a_run(tmp_path / name, name, "outputs/sweep") for name in ("a", "b")]
    writers = [begun(run, ROWS, 9, str(tmp_path / "store"), files=False) for run in runs]  # at the same time
    for writer in writers:
        writer.close("finished")
        assert writer.complaint() is None
    tags = sorted((tmp_path / "store").glob("*/*/tags"))
    assert sorted((tag / "ssl.id").read_text() for tag in tags) == ["a", "b"]
    assert {(tag / "ssl.sweep").read_text() for tag in tags} == {"outputs/sweep"}
    assert len({tag.parent.parent for tag in tags}) == 1, "one experiment"


def test_a_server_that_is_not_there_is_told_once(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    told = []
    tracker = MLflow(uri=None, experiment="ssl", files=True)
    Background("mlflow", tracker, a_run(tmp_path / "run"), ROWS, 9, told.append).close("finished")
    (line,) = [line for line in told if not line.startswith("waiting")]
    assert "tracker=mlflow" in line and "127.0.0.1" in line
    assert capfd.readouterr() == ("", "") and not (tmp_path / "run").exists()
