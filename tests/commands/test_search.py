"""A search over settings by Optuna: upwards, by val and never by test, and with an end."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from ssl_cli.cli import main
from ssl_cli.commands.train import val_accuracy
from ssl_cli.config.jobs import Done
from ssl_cli.errors import UserError
from ssl_cli.runs.job import Job

pytest.importorskip("optuna", reason="hydra-optuna-sweeper is not installed")

SEARCH = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.sampler.seed=1"]
QUICK = ["trainer.max_steps=2", "trainer.batch_size=32", "trainer.threads=1"]
QUICK += ["~probe@probes.linear", "~probe@probes.propagate"]


@pytest.fixture
def search(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def run(*args, command="train"):
        monkeypatch.setattr(sys, "argv", ["ssl"])
        return main([command, *SEARCH, *args]), capsys.readouterr()

    return run


def test_it_finds_the_highest_accuracy_on_val(search):
    span = ["optimizer.lr=interval(0.0005,0.01)", "hydra.sweeper.n_trials=3", "hydra.sweep.dir=found"]
    status, said = search(*span, *QUICK)
    assert status == 0, said.err
    runs = [json.loads(file.read_text()) for file in Path("found").glob("*/summary.json")]
    assert len(runs) == 3 and "(3 of 3 jobs finished)" in said.out
    best = yaml.safe_load(Path("found/optimization_results.yaml").read_text())
    assert best["best_value"] == max(run["best_val_knn"] for run in runs)
    (row,) = [run for run in runs if f"optimizer.lr={best['best_params']['optimizer.lr']}" in run["overrides"]]
    assert row["best_val_knn"] == best["best_value"]


def test_upwards_is_the_default_and_a_trial_that_fails_is_left_out(search, monkeypatch):
    values = iter([0.2, None, 0.9, 0.5])
    seeds = []

    def run(deferred, config):
        if (value := next(values)) is None:
            raise UserError("no such seed")
        seeds.append(config.seed)
        return Done(0, value)

    monkeypatch.setattr("ssl_cli.commands.train.run", run)
    status, said = search("seed=range(0,1000)", "hydra.sweeper.n_trials=4", "hydra.sweep.dir=found")
    assert status == 1 and said.err.count("error: ") == 1 and "error: no such seed" in said.err
    best = yaml.safe_load(Path("found/optimization_results.yaml").read_text())
    assert best["best_params"] == {"seed": seeds[1]} and best["best_value"] == 0.9


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["hydra.sweeper.direction=minimize"], "leave it out, or write hydra.sweeper.direction=maximize"),
        (["launcher=local"], "write hydra/launcher=joblib"),
        (["trainer.dry_run=true", *QUICK], "there is nothing to search by"),
    ],
)
def test_what_cannot_be_searched_ends_at_once(search, args, said):
    status, found = search("seed=range(1,9)", *args)
    lines = [line for line in found.err.splitlines() if "A new study" not in line]
    assert status == 2 and len(lines) == 1 and said in lines[0]
    assert found.out.count("job ") == 1 and not list(Path().rglob("*"))


def test_images_without_labels_give_nothing_to_search_by(search, tmp_path):
    import numpy as np
    from PIL import Image

    (tmp_path / "images").mkdir()
    for i in range(30):
        Image.fromarray(np.full((16, 16), 8 * i, np.uint8)).save(tmp_path / f"images/{i}.png")
    status, said = search(
        "seed=range(1,9)",
        "dataset=folder",
        "dataset.root=images",
        *QUICK,
        "trainer.batch_size=8",
        "hydra.sweep.dir=none",
    )
    assert status == 2 and "error: there is nothing to search by: a search looks at the kNN accuracy on val" in said.err
    assert len([*Path("none").glob("*/summary.json")]) == 1, "the others were not trained"


def test_only_training_is_searched(search, trained):
    status, said = search(f"ckpt={trained[0]}", "probe=knn", "probe.k=range(1,4)", command="probe")
    assert status == 2 and "error: ssl probe gives nothing to search by" in said.err


def test_the_value_is_of_this_run(trained):
    config = yaml.safe_load((trained[0] / "config.yaml").read_text())
    job = Job(config=config, target=str(trained[0]), chosen=False, overrides=[])
    assert val_accuracy(job) == json.loads((trained[0] / "summary.json").read_text())["best_val_knn"]
    with pytest.raises(UserError, match="holds another run"):
        val_accuracy(Job(config={**config, "seed": 9}, target=str(trained[0]), chosen=False, overrides=[]))
