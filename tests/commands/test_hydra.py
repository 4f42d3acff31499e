"""Hydra's own extensions: its launchers, its working directory, its primary configs."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from ssl_cli.cli import main
from ssl_cli.probes import measure

QUICK = [
    "backbone.widths=[4,8]",
    "trainer.max_steps=1",
    "trainer.batch_size=32",
    "trainer.threads=1",
    *("~probe@probes.linear", "~probe@probes.propagate"),
]
PLUG_INS = importlib.util.find_spec("hydra_plugins")
needs_joblib = pytest.mark.skipif(
    PLUG_INS is None or importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") is None,
    reason="hydra-joblib-launcher is not installed",
)


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """Run a command in an empty directory; returns its status and what it said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["ssl"])
        status = main(list(args))
        assert Path.cwd() == tmp_path
        return status, capsys.readouterr()

    return run


@needs_joblib
def test_a_job_that_fails_in_another_process_is_a_failure(ssl):
    joblib = ["train", "-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sweep"]
    outcome = ssl(*joblib, "trainer.dry_run=true", "optimizer.lr=-1,0.001")
    assert outcome.status == 1 and outcome.err.count("error: optimizer.lr=-1 is out of range") == 1
    assert outcome.out.count("nothing was trained") == 1, "the other job was done"
    outcome = ssl(*joblib, "trainer.dry_run=true", "optimizer.lr=0.001", "hydra.sweep.dir=good")
    assert outcome.status == 0, outcome.err


@needs_joblib
def test_two_launchers_are_one_too_many(here):
    status, said = here("train", "-m", "hydra/launcher=joblib", "launcher=local", "seed=1,2")
    assert status == 2 and said.err.count("\n") == 1
    assert "launcher=local and hydra/launcher=joblib would both start the jobs" in said.err


@pytest.fixture
def traces(monkeypatch):
    """Let what is measured leave a file in the working directory, as a plug-in could."""
    measured = measure.measure

    def leave(*args):
        Path("trace").touch()
        return measured(*args)

    monkeypatch.setattr(measure, "measure", leave)


def test_a_run_works_in_its_directory_and_paths_are_as_typed(here, traces, tmp_path, image_folder):
    folder = ["dataset=folder", "dataset.root=images", "trainer.batch_size=8", "hydra.job.chdir=true"]
    status, said = here("train", *QUICK, *folder)
    assert status == 0, said.err
    (run,) = tmp_path.glob("outputs/*/*")
    assert (run / "trace").is_file() and (run / "summary.json").is_file()
    assert f"next: ssl probe ckpt={run} probe=linear" in said.out
    status, said = here("train", "resume=last", "trainer.max_steps=2", "hydra.job.chdir=true")
    assert status == 0, said.err
    status, said = here("train", f"init={run.relative_to(tmp_path)}", *QUICK, *folder[2:], "hydra.run.dir=second")
    assert status == 0, said.err
    assert (tmp_path / "second/trace").is_file()
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {"images", "outputs", "second"} and len([*tmp_path.rglob("outputs")]) == 1


def test_each_job_of_a_sweep_works_in_its_directory(here, traces, tmp_path):
    status, said = here("train", "-m", "seed=1,2", *QUICK, "hydra.sweep.dir=sweep", "hydra.job.chdir=true")
    assert status == 0, said.err
    jobs = sorted(path for path in tmp_path.glob("sweep/*") if path.is_dir())
    assert len(jobs) == 2 and all((job / "trace").is_file() and (job / "summary.json").is_file() for job in jobs)
    assert [json.loads((job / "summary.json").read_text())["seed"] for job in jobs] == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"] and "(2 of 2 jobs finished)" in said.out


def test_a_probe_writes_where_it_says(here, tmp_path):
    assert here("train", *QUICK, "hydra.run.dir=run")[0] == 0
    chdir = ["probe", "ckpt=run", "probe=knn", "trainer.threads=1", "hydra.job.chdir=true"]
    for given, found in (
        (["hydra.run.dir=there"], "there/result.json"),
        ([], "run/probes/*/result.json"),
        (["-m", "probe.k=3,5", "hydra.sweep.dir=several"], "several/*/result.json"),
    ):
        status, said = here(*chdir, *given)
        assert status == 0, said.err
        files = [tmp_path / line.removeprefix("result: ") for line in said.out.splitlines() if line[:8] == "result: "]
        assert files and sorted(files) == sorted(tmp_path.glob(found))
    assert {path.name for path in tmp_path.iterdir()} == {"run", "there", "several"}


def test_a_primary_config_of_the_users_own(here, tmp_path):
    (tmp_path / "mine").mkdir()
    text = "defaults:\n  - train\n  - override method: byol\n  - _self_\nseed: 7\ntrainer: {max_steps: 3}\n"
    (tmp_path / "mine/my_train.yaml").write_text(text)
    mine = ["train", "--config-dir", "mine", "-cn", "my_train"]
    status, said = here(*mine, "trainer.dry_run=true")
    assert status == 0 and "3 of batch 256" in said.out and "-byol-digits" in said.out
    status, said = here(*mine, "method.momentum=text")
    assert status == 2 and "method.momentum='text' is not a number" in said.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["train", "-cn", "nothing"], "there is no config 'nothing'; did you mean 'train'? (the configs are train)"),
        (["train", "-cn", "probe"], "-cn probe is the config of another command; write ssl probe"),
        (["views", "--config-name=train.yaml"], "write ssl train"),
        (["train", "--config-dir", "mine", "-cn", "my_trian"], "(the configs are train, alone, my_train)"),
        (["train", "--config-dir", "mine", "-cn", "alone"], "`defaults: [train, _self_]`"),
        (["train", "--config-path", "mine"], "write --config-dir DIR"),
        (["train", "~seed"], "leave ~seed out"),
    ],
)
def test_a_config_that_is_not_there_or_not_the_commands(here, tmp_path, args, said):
    (tmp_path / "mine").mkdir()
    for name in ("my_train", "alone"):
        (tmp_path / f"mine/{name}.yaml").write_text("seed: 1\n")
    status, found = here(*args)
    assert status == 2 and found.err.count("\n") == 1 and said in found.err
    if "alone" not in args:  # whose run directory is Hydra's default
        assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_range_needs_a_search(here):
    for args in (["seed=interval(1,2)"], ["-m", "seed=interval(1,2)"]):
        status, said = here("train", *args)
        assert status == 2 and said.err.count("\n") == 1 and "write ssl train -m hydra/sweeper=optuna" in said.err


def test_hydras_own_views_of_a_config(ssl):
    for args, said in (
        (["--info", "defaults"], "Defaults List"),
        (["--info", "method=byol"], "byol"),
        (["--cfg", "hydra"], "hydra:"),
        (["--hydra-help"], "Hydra (1.3"),
        (["hydra.verbose=true", "trainer.dry_run=true"], "nothing was trained"),
    ):
        found = ssl("train", *args)
        assert found.status == 0 and said in found.out, (args, found.err)
