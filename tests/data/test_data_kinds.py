"""Another kind of input than images, that of docs/inputs.md: all of it works; what is for images alone says so."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from command_line import CommandLine
from experiments import CONF, composed, tensors, train
from pages import write_files

from ssl_cli.config.kinds import check_kinds, kind_of
from ssl_cli.data.kinds import info_class, info_from
from ssl_cli.errors import UserError
from ssl_cli.pretext.progressive import ViewSizes
from ssl_cli.runs import checkpoint

SHORT = ["trainer.batch_size=16", "trainer.max_steps=2", "probes.linear.labels=[all]", "probes.linear.penalties=[0.01]"]
TRUSTED = "trusted_modules=[my_package]"
SIGNAL = {"name": "signal", "_target_": "my_package.signals.SignalInfo"}


@pytest.fixture(scope="module")
def run(made_once, tmp_path_factory):
    """A directory with the files of the page, and a run of simclr on signals."""

    def make(cwd: Path) -> None:
        write_files("docs/inputs.md", cwd)
        ssl = CommandLine(cwd, tmp_path_factory.mktemp("scratch"))
        args = [
            "--config-dir",
            "mine",
            "method=simclr",
            "dataset=waves",
            "dataset.labels=20%",
            *SHORT,
            "hydra.run.dir=run",
        ]
        done = ssl("train", *args, PYTHONPATH=str(cwd))
        assert done.status == 0, done.err
        (cwd / "said").write_text(done.out)

    return made_once("signals", make)


@pytest.fixture
def own(run, monkeypatch):
    """Settings with which configs have the files of the page, whose package can be imported."""
    monkeypatch.syspath_prepend(run)
    return [f"hydra.searchpath=[file://{run / 'mine'}]", "dataset=waves"]


def test_training_ends_with_the_table_of_any_run(run):
    rows = json.loads((run / "run/summary.json").read_text())["results"]
    assert {row["model"] for row in rows} == {"raw", "random", "simclr"}
    assert {row["probe"] for row in rows} == {"knn", "linear", "propagate"}
    said = (run / "said").read_text()
    assert "test signals" in said and "raw inputs" in said and "image" not in said


def test_its_run_is_probed_predicted_picked_and_reported(run, ssl):
    def done(*args: str) -> str:
        outcome = ssl(*args, PYTHONPATH=str(run))
        assert outcome.status == 0, outcome.err
        return outcome.out

    shutil.copytree(run / "run", ssl.cwd / "run")
    ckpt = "ckpt=run"
    refused = ssl("probe", ckpt, "probe=knn", PYTHONPATH=str(run))
    assert refused.status == 2 and TRUSTED in refused.err
    assert "raw inputs" in done("probe", ckpt, "probe=knn", TRUSTED, "hydra.run.dir=probed")
    tuned = ssl("probe", ckpt, "probe=finetune", TRUSTED, PYTHONPATH=str(run))
    assert (
        tuned.status == 2
        and "augment@probe.augment=none is for images and clips; this run was trained on sig" in tuned.err
    )
    assert "signals" in done("predict", ckpt, TRUSTED, "split=test", "out=answers.csv")
    folder = ssl("predict", ckpt, TRUSTED, "dataset=folder", "dataset.root=.", "out=x.csv", PYTHONPATH=str(run))
    assert folder.status == 2 and "was trained on signals (waves), and this data set has images" in folder.err
    assert done("pick", ckpt, TRUSTED, "n=2", "out=picked.csv").count("signals") >= 2
    assert "0.0" in (ssl.cwd / "picked.html").read_text()
    done("report", "run", "--trust", "my_package")
    page = (ssl.cwd / "run/report/index.html").read_text()
    assert "Features, t-SNE" in page and "signals are no pictures" in page
    other = ssl("export", ckpt, "to=safetensors", TRUSTED, PYTHONPATH=str(run))
    assert (
        other.status == 2 and "`ssl export to=safetensors` is for images; this run was trained on signals" in other.err
    )


def test_a_run_resumes_bitwise(own, tmp_path):
    settings = ["method=simclr", *own, "trainer.max_steps=3", "trainer.eval_every=1", "trainer.batch_size=16"]
    train(tmp_path / "straight", settings)
    train(tmp_path / "broken", settings, stop_after=2)
    train(tmp_path / "broken", settings)
    one, other = (tensors(checkpoint.load(tmp_path / f"{name}/checkpoints/last.pt")) for name in ("straight", "broken"))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_its_facts_come_back_from_the_checkpoint(run, own):
    state = checkpoint.load(run / "run/checkpoints/last.pt")
    assert state["data"]["kind"] == "signal"
    info = info_from(state["data"], state["config"]["dataset"])
    assert (info.kind, info.length, info.to_dict()) == ("signal", 16, state["data"])
    with pytest.raises(ValueError, match="data.kind"):
        info_from(state["data"], {})


def test_a_data_set_brings_its_network_and_recipe_and_what_is_typed_wins(own):
    config = composed("train", ["method=simclr", *own])
    assert config.backbone._target_.endswith("Dense") and config.augment._target_.endswith("Noise")
    typed = composed("train", ["method=simclr", *own, "backbone=resnet18", "augment=byol"])
    assert typed.backbone.arch == "resnet18" and "solarize" in typed.augment
    assert composed("train", ["method=simclr"]).backbone._target_.endswith("ConvNet")
    for command in ("views", "embed", "predict", "pick", "probe"):
        given = [] if command == "views" else ["ckpt=x"]
        assert composed(command, [*given, *own]).dataset._target_ == "my_package.signals.load"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (
            ["method=mae"],
            "method=mae is for images; dataset=waves has signals; methods for signals: barlow_twins, byol, ",
        ),
        (
            ["pretext=rotation"],
            "pretext=rotation is for images; dataset=waves has signals; pretexts for signals: augment, ",
        ),
        (
            ["backbone=resnet18"],
            "backbone=resnet18 is for images; dataset=waves has signals; backbones for signals: dense",
        ),
        (
            ["augment=byol"],
            "augment=byol is for images and clips; dataset=waves has signals; recipes for signals: noise",
        ),
        (
            ["augment@pretext.augment2=byol"],
            "augment@pretext.augment2=byol is for images and clips; dataset=waves has signals",
        ),
        (
            ["+probe@probes.tuned=finetune"],
            "augment@probes.tuned.augment=none is for images and clips; dataset=waves has signals",
        ),
    ],
)
def test_what_is_for_other_kinds_is_refused_before_anything_is_loaded(run, ssl, typed, told):
    outcome = ssl("train", f"--config-dir={run / 'mine'}", "dataset=waves", *typed, process="light")
    assert outcome.status == 2 and told in outcome.err and "torch" not in outcome.modules
    assert "mae" not in outcome.err.partition("for signals:")[2]


def test_images_with_a_part_for_signals_are_refused_too(run, ssl):
    outcome = ssl("train", f"--config-dir={run / 'mine'}", "augment=noise", process="light")
    assert outcome.status == 2 and "augment=noise is for signals; dataset=digits has images; recipes" in outcome.err


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("imge", "dataset._kind_=imge is not one of image.*did you mean 'image'"),
        (3, "is neither a name nor"),
        ({"name": "signal"}, "is neither a name nor"),
        (SIGNAL | {"_target_": "nowhere.Info"}, "cannot import nowhere.Info"),
        (SIGNAL | {"_target_": "os.getcwd"}, "os.getcwd is not the DataInfo of signals"),
        (SIGNAL | {"name": "sound"}, "is not the DataInfo of sounds"),
    ],
)
def test_a_kind_that_is_none_is_said(own, kind, told):
    with pytest.raises(UserError, match=told):
        info_class({"_kind_": kind})


def test_what_a_part_is_for_is_a_list():
    config = composed("train", ["method=mae"])
    parts = {"method": config.method, "backbone": config.backbone}
    check_kinds(parts, kind_of(config.dataset), "it has", [CONF], {})
    with pytest.raises(UserError, match=r"^method \(MAE\) is for images; it has texts; methods for texts: "):
        check_kinds(parts, "text", "it has", [CONF], {})
    config.method._kinds_ = "image"
    with pytest.raises(UserError, match="method._kinds_=image is not a list"):
        check_kinds(parts, "image", "it has", [CONF], {})


def test_views_without_a_side_cannot_be_made_smaller():
    with pytest.raises(UserError, match=r"trainer\.progressive is for images; write trainer\.progressive=null"):
        ViewSizes(["8 until 50%"], None, 10, 100)
