"""The command line by running it: exit codes, messages, and the exact files."""

import csv
import io
import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
import torch
from experiments import tensors

from ssl_cli import __version__
from ssl_cli.runs import checkpoint

TORCH = {"torch", "torchvision"}
RUN_FILES = {
    *("config.yaml", "env.json", "labels.json", "metrics.jsonl", "summary.json", "train.log", "checkpoints"),
    "predictions.npz",
    *(f"checkpoints/{name}.pt{suffix}" for name in ("last", "previous", "best") for suffix in ("", ".sha256")),
}
BEST = {"checkpoints/best.pt", "checkpoints/best.pt.sha256"}


def below(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"]])
def test_help_names_the_commands_and_imports_nothing_heavy(ssl, args):
    outcome = ssl(*args, process="fresh")
    assert outcome.status == 0
    assert "train" in outcome.out and "probe" in outcome.out and "ssl train method=simclr" in outcome.out
    assert not outcome.modules & {*TORCH, "hydra", "omegaconf", "numpy"}


@pytest.mark.parametrize("command", ["train", "probe"])
def test_help_of_a_command_lists_groups_options_settings_and_examples(ssl, command):
    outcome = ssl(command, "--help", process="fresh")
    assert outcome.status == 0
    for word in ("groups", "settings", "examples", f"ssl {command}", "digits", "linear"):
        assert word in outcome.out
    settings = outcome.out.split("settings people change most")[1].split("(all of them")[0]
    assert len(re.findall(r"^  \S+", settings, re.M)) >= 10
    assert not outcome.modules & {*TORCH, "hydra"}


def test_version(ssl):
    assert ssl("--version").out.strip() == f"ssl {__version__}"


def test_the_composed_config_can_be_looked_at_without_torch(ssl):
    outcome = ssl("train", "--cfg", "job", "method=supervised", "optimizer=sgd", process="light")
    assert outcome.status == 0
    assert "ssl_cli.methods.supervised.Supervised" in outcome.out and "ssl_cli.optim.optimizers.sgd" in outcome.out
    assert not outcome.modules & TORCH
    assert ssl.files() == {}


def test_shell_completion_as_hydra_gives_it(ssl):
    script = ssl("--shell-completion", "install=bash")
    assert script.status == 0 and "complete" in script.out and script.out.rstrip().endswith("ssl")
    queries = {"ssl tr": "train", "ssl train method=s": "method=simclr", "ssl probe probe=k": "probe=knn"}
    for line, expected in queries.items():
        assert expected in ssl("-sc", "query=bash", COMP_LINE=line).out.split()


def test_a_run_writes_exactly_its_files_and_says_what_it_found(trained, summary):
    run, outcome = trained
    assert below(run) == RUN_FILES
    for text in ("raw pixels", "convnet, random weights", "simclr", "1 label", "ssl probe ckpt=run", "kNN"):
        assert text in outcome.out
    result = summary(run)
    assert result["state"] == "finished" and result["steps"] == 8 and result["epochs"] == 2
    assert result["seconds"] > 0 and result["images_per_second"] > 0
    rows = {(row["model"], row["probe"], row["labels"]): row for row in result["results"]}
    assert set(rows) == {
        (model, *column)
        for model in ("pixels", "random", "simclr")
        for column in (
            ("knn", "all"),
            ("linear", "all"),
            *((probe, few) for probe in ("linear", "propagate") for few in ("10/class", "1/class")),
        )
    }
    for (_, _, labels), row in rows.items():
        assert row["split"] == "test" and row["metric"] == "accuracy" and 0.1 < row["mean"] <= 1
        assert row["n"] == (1 if labels == "all" else 2) and (row["std"] is None) == (labels == "all")
    environment = json.loads((run / "env.json").read_text())
    assert environment["packages"]["torch"] and "method=simclr" in environment["command"]
    state = checkpoint.load(run / "checkpoints/last.pt")
    assert state["config"]["seed"] == 0 and state["data"]["name"] == "digits"
    assert len(json.loads((run / "labels.json").read_text())["positions"]) == state["data"]["labelled"]


def test_a_dry_run_prints_the_plan_and_writes_nothing(ssl):
    outcome = ssl("train", "trainer.dry_run=true", "optimizer=sgd", "optimizer.lr=0.1", "optimizer.scale=linear")
    assert outcome.status == 0
    for text in (
        "parameters",
        "steps",
        "warm-up steps",
        "images per epoch",
        "234 left out, others in each epoch",
        "outputs/",
        "0.1",
    ):
        assert text in outcome.out
    assert ssl.files() == {}


@pytest.mark.parametrize("probe", ["knn", "linear"])
def test_probe_writes_a_result_of_the_documented_form(ssl, trained, probe):
    run, _ = trained
    settings = ["probe.draws=2", "probe.penalties=[0.01]"] if probe == "linear" else []
    before = below(run)
    outcome = ssl("probe", f"ckpt={run}", f"probe={probe}", *settings)
    assert outcome.status == 0, outcome.err
    new = sorted(below(run) - before)
    (result_file,) = (run / name for name in new if name.endswith("result.json"))
    written = {Path(name).name for name in new if "." in Path(name).name and not name.startswith("features/")}
    assert written == {"config.yaml", "result.json", "predictions.npz"}
    result = json.loads(result_file.read_text())
    assert result["frozen"]["before"] == result["frozen"]["after"]
    trained_rows = json.loads((run / "summary.json").read_text())["results"]
    for row in result["results"]:  # the same checkpoint, data and protocol: the same numbers
        assert row in trained_rows


def test_probe_on_another_data_set_makes_it_fit_and_says_so(ssl, trained):
    run, _ = trained
    outcome = ssl("probe", f"ckpt={run}", "probe=knn", "dataset=shapes", "dataset.num_images=300")
    assert outcome.status == 0 and "shapes: stored at 16x16 pixels, grey" in outcome.out


def test_last_is_the_latest_run_below_outputs(ssl):
    quick = ["trainer.max_steps=1", "trainer.batch_size=64", "backbone.widths=[8,16]"]
    quick += ["~probes.linear", "~probes.propagate"]
    assert ssl("train", *quick).status == 0
    assert ssl("train", *quick, "method=supervised").status == 0
    outcome = ssl("probe", "ckpt=last", "probe=knn")
    assert outcome.status == 0 and "supervised" in outcome.out and "outputs/" in outcome.out


def test_a_sweep_gives_each_job_a_directory_and_one_failing_job_loses_no_other(ssl, summary):
    outcome = ssl(
        *("train", "-m", "method=simclr,supervised", "trainer.batch_size=64,5000"),
        *("trainer.max_steps=2", "backbone.widths=[8,16]", "dataset.labels=50%", "probes.linear.labels=[all]"),
        *("probes.linear.penalties=[0.01]", "probes.propagate=null"),
    )
    assert outcome.status == 1
    (sweep,) = (ssl.cwd / "outputs").glob("*/*-sweep")
    jobs = sorted(path for path in sweep.iterdir() if path.is_dir())
    assert [summary(job)["state"] for job in jobs] == ["finished", "failed", "finished", "failed"]
    assert "5000 is more than the 1258 images" in summary(jobs[1])["error"]
    assert not any(character in str(job.relative_to(ssl.cwd)) for job in jobs for character in "=,% ")
    table = outcome.out.split("job 3")[1]
    assert "2 of 4 jobs finished" in table and "Left out" in table and "5000 is more than" in table
    compared = ssl("compare", str(sweep), "--against", "supervised", "--to", "csv", process="fresh")
    assert compared.status == 0 and not compared.modules & {*TORCH, "hydra", "omegaconf", "sklearn"}
    rows = {(row["name"], row["probe"]): row for row in csv.DictReader(io.StringIO(compared.out))}
    for row in summary(jobs[0])["results"]:
        name = {"pixels": "raw pixels", "random": "convnet, random weights"}.get(row["model"], row["model"])
        assert float(rows[name, row["probe"]]["mean"]) == row["mean"] and row["labels"] == "50%"
    for name in ("simclr", "raw pixels"):  # one run each: by the predictions that the runs have left
        assert rows[name, "linear"]["covers"] == "images" and rows[name, "linear"]["low"]
    assert "own classifier" in ssl("compare", str(sweep)).out and rows["supervised", "classifier"]["difference"] == ""
    for args, text in ((["nowhere"], "nowhere"), ([], "usage"), ([str(sweep), "--level", "2"], "--level 2")):
        refused = ssl("compare", *args)
        assert refused.status == 2 and text in refused.err and len(refused.err.strip().splitlines()) == 1
    survivor = ssl("probe", f"ckpt={jobs[0]}", "probe=knn")
    assert survivor.status == 0
    probed = ssl("compare", f"{jobs[0]}/probes", str(jobs[2]), "--probe", "knn", "--to", "json")
    assert probed.status == 0, probed.err
    assert [row["name"] for row in json.loads(probed.out)["rows"]][2:] == ["simclr", "supervised"]


def test_an_interrupted_run_resumes_to_bitwise_the_same_weights(ssl, summary):
    settings = ["train", "trainer.epochs=6", "trainer.batch_size=32", "backbone.widths=[8,16]"]
    settings += ["~probes.linear", "~probes.propagate"]
    settings += ["dataset=shapes", "dataset.num_images=200", "dataset.storage_size=16"]
    straight = ssl(*settings, "hydra.run.dir=straight")
    assert straight.status == 0
    process, out = ssl.start(*settings, "hydra.run.dir=stopped")
    metrics = ssl.cwd / "stopped/metrics.jsonl"
    while not (metrics.exists() and metrics.read_text().count("\n") >= 3):
        assert process.is_alive()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 130
    assert summary(ssl.cwd / "stopped")["state"] == "interrupted"
    command = re.search(r"ssl (train resume=stopped)", out.read_text())[1]
    resumed = ssl(*command.split())
    assert resumed.status == 0 and summary(ssl.cwd / "stopped")["state"] == "finished"
    one, other = (tensors(checkpoint.load(ssl.cwd / d / "checkpoints/last.pt")) for d in ("straight", "stopped"))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[key]) for key, value in one.items())
    results = [summary(ssl.cwd / d)["results"] for d in ("straight", "stopped")]
    assert results[0] == results[1]

    again = ssl("train", "resume=stopped")
    assert again.status == 0 and "finished" in again.out and "trainer.epochs" in again.out
    refused = ssl("train", "resume=stopped", "optimizer.lr=0.5")
    assert refused.status == 2 and "optimizer.lr" in refused.err
    longer = ssl("train", "resume=stopped", "trainer.epochs=7")
    assert longer.status == 0 and summary(ssl.cwd / "stopped")["epochs"] == 7


def test_unlabelled_images_are_learned_from_and_nothing_that_needs_labels_runs(ssl, image_folder, summary):
    flat = ssl.cwd / "flat"
    flat.mkdir()
    for file in image_folder.rglob("*.*"):
        file.rename(flat / f"{file.parent.name}-{file.name}")
    quick = ["trainer.batch_size=16", "trainer.epochs=2", "backbone.widths=[8,16]"]
    outcome = ssl("train", "dataset=folder", f"dataset.root={flat}", *quick, "hydra.run.dir=run")
    assert outcome.status == 0, outcome.err
    assert "no labels" in outcome.out and summary(ssl.cwd / "run")["results"] == []
    assert below(ssl.cwd / "run") == RUN_FILES - {*BEST, "predictions.npz"} | {"splits.json"}
    refused = ssl("probe", "ckpt=run")
    assert refused.status == 2 and "no labels" in refused.err
    refused = ssl("train", "method=supervised", "dataset=folder", f"dataset.root={flat}", *quick)
    assert refused.status == 2 and "one folder a class" in refused.err


def test_own_images_in_class_folders(ssl, image_folder, summary):
    outcome = ssl(
        *("train", "dataset=folder", f"dataset.root={image_folder}", "trainer.batch_size=16", "trainer.epochs=2"),
        *("hydra.run.dir=run", "dataset.test_fraction=0.4", "backbone.widths=[8,16]"),
        *("probes.linear.labels=[all]", "probes.propagate=null"),
    )
    assert outcome.status == 0, outcome.err
    rows = summary(ssl.cwd / "run")["results"]
    assert {row["model"] for row in rows} == {"pixels", "random", "simclr"}
    assert "3 classes" in outcome.out
