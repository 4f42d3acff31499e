"""The sweeps that are shipped: each is one command, and each of its jobs composes."""

import csv
import io
import sys

import pytest
from experiments import CONF, composed
from omegaconf import OmegaConf

from ssl_cli.cli import main
from ssl_cli.config.check import check, check_fit

SWEEPS = sorted(CONF.glob("experiment/sweep_*.yaml"))


@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.stem)
def test_every_value_of_a_sweep_composes(file):
    hydra = OmegaConf.load(file).hydra
    assert hydra.mode == "MULTIRUN" and len(str(hydra.sweeper.params.seed).split(",")) > 1
    for key, values in hydra.sweeper.params.items():
        for value in str(values).split(","):
            config = composed("train", [f"{key}={value}", f"experiment={file.stem}"])
            check(config, config, "train")
            check_fit(config, [CONF])


def run(args, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ssl"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    return main(args), capsys.readouterr()


def test_a_shipped_sweep_is_one_command_and_what_is_typed_beside_it_wins(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    sweep = ["train", "experiment=sweep_label_efficiency", "method=simclr,fixmatch", "dataset.labels=1/class"]
    status, said = run([*sweep, "seed=0", "trainer.dry_run=true"], monkeypatch, capsys)
    assert status == 0 and said.out.count("nothing was trained") == 2 and not list(tmp_path.rglob("*.yaml"))
    quick = ["trainer.max_steps=2", "trainer.batch_size=32", "hydra.sweep.dir=mine", "trainer.threads=1"]
    quick += ["backbone.widths=[4,8]", "probes.linear.penalties=[0.01]", "probes.propagate=null"]
    status, said = run([*sweep, *quick], monkeypatch, capsys)
    assert status == 0, said.err
    assert "(4 of 4 jobs finished)" in said.out and "± is the deviation over 2 runs" in said.out
    status, said = run(["compare", "mine", "--to", "csv"], monkeypatch, capsys)
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert [row["n"] for row in rows if row["name"] in ("simclr", "fixmatch")] == ["2"] * 5
    assert {row["labels"] for row in rows} == {"1/class"}
    assert {row["covers"] for row in rows if row["name"] == "simclr"} == {"runs images"}
    status, said = run([*sweep, "optimizer.lr=-1", "seed=0", "hydra.sweep.dir=bad"], monkeypatch, capsys)
    assert status == 1 and said.err.count("error: ") == 2
