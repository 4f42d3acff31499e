"""``kill -9`` again and again: what trackers have of the run is one run, with each step once, and nothing missing."""

import json
import os
import signal
import time
from importlib.util import find_spec

import pytest
import tracked
from forks import VIT, generator
from warm import command, finish, start

KILLS = 20
TOOLS = ("tensorboard", "mlflow", "wandb")
ARGS = [
    *("train", "method=mae", *VIT, "dataset=shapes", "dataset.num_images=200", "dataset.storage_size=16"),
    *(
        "trainer.batch_size=32",
        "trainer.epochs=150",
        "trainer.threads=1",
        "trainer.log_every=1",
        "trainer.eval_every=5",
    ),
    *("~probes.linear", "~probes.propagate", "hydra.run.dir=run"),
    *("tracker=[tensorboard,mlflow,wandb]", "tracker.wandb.mode=offline"),
]


def killed(args, cwd, rows, random):
    """Run a command and kill it a little after ``metrics.jsonl`` has so many rows; return its exit status."""
    process, metrics = start(command, args, cwd), cwd / "run/metrics.jsonl"
    while process.is_alive() and not (metrics.exists() and metrics.read_bytes().count(b"\n") >= rows):
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.3))
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return process.exitcode


@pytest.mark.slow
@pytest.mark.skipif(not all(map(find_spec, TOOLS)), reason=f"not all of {', '.join(TOOLS)} are installed")
def test_twenty_kills_are_one_run_in_every_tracker(tmp_path):
    random, metrics, ids = generator("tracked"), tmp_path / "run/metrics.jsonl", set()
    for kill in range(KILLS):
        done = metrics.read_bytes().count(b"\n") if metrics.exists() else 0
        args = ["train", "resume=run"] if (tmp_path / "run/config.yaml").exists() else ARGS
        assert killed(args, tmp_path, done + random.randint(0, 40), random) == -signal.SIGKILL, kill
        ids.add((tmp_path / "run/tracker.json").read_text() if (tmp_path / "run/tracker.json").exists() else None)
    assert finish(command, ["train", "resume=run"], tmp_path) == 0, (tmp_path / "err").read_text()
    assert len(ids - {None}) == 1 and "warning: tracker" not in (tmp_path / "out").read_text()
    expected = {name: sorted(dict(values).items()) for name, values in tracked.of_metrics(metrics).items()}
    assert len(expected["loss"]) == json.loads((tmp_path / "run/summary.json").read_text())["steps"]
    for tracker, folder in (("tensorboard", "tensorboard"), ("mlflow", "mlruns"), ("wandb", "wandb")):
        found = getattr(tracked, tracker)(tmp_path / "run" / folder)
        assert {name.split("/")[0] for name in found} - {"plots", "results"} == {*expected, "test"}, tracker
        for name, values in expected.items():
            assert [step for step, _ in found[name]] == [step for step, _ in values], (tracker, name)
            if name not in ("seconds", "images_per_second"):  # of these, too, each step is there once
                assert dict(found[name]) == pytest.approx(dict(values), rel=1e-5), (tracker, name)
        assert all(len(values) == 1 for name, values in found.items() if name.startswith("test/"))
    shown = tracked.shown_by_tensorboard(tmp_path / "run/tensorboard")["loss"]
    assert dict(shown) == pytest.approx(dict(expected["loss"]), rel=1e-5) and len(shown) == len(expected["loss"])
    print(f"\n{KILLS} kills: one run, {len(expected['loss'])} steps, in each of three trackers")
