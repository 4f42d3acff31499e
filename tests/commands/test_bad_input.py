"""Bad input: one clear line, exit status 2, nothing written, and no torch where the config alone shows it."""

import os
import sys

import pytest
import torch

from ssl_cli.cli import main
from ssl_cli.errors import UserError, one_line

TORCH = {"torch", "torchvision"}

# name: (arguments, what the one line says, whether torch may be needed to see it)
BAD = {
    "unknown command": (["trian"], ["trian", "did you mean 'train'", "probe"], False),
    "unknown option": (["train", "method=simclrr"], ["method", "did you mean 'simclr'", "supervised"], False),
    "unknown data set": (["train", "dataset=cifar"], ["did you mean 'cifar10'"], False),
    "unknown group": (["train", "metod=simclr"], ["metod", "did you mean 'method'"], False),
    "unknown key": (["train", "trainer.epocs=3"], ["trainer.epocs", "did you mean 'trainer.epochs'"], False),
    "unknown plug-in key": (["train", "method.temperatur=1"], ["did you mean 'method.temperature'"], False),
    "appended key": (["train", "+epochs=1"], ["there is no setting 'epochs'"], False),
    "appended plug-in key": (["train", "+method.foo=1"], ["foo"], True),
    "unknown flag": (["train", "--epochs=3"], ["--epochs", "write epochs=3"], False),
    "unreadable override": (["train", "trainer.epochs=[1"], ["cannot read 'trainer.epochs=[1'"], False),
    "text for a number": (["train", "trainer.epochs=abc"], ["trainer.epochs=abc", "whole number"], False),
    "text for a plug-in number": (["train", "method.temperature=hot"], ["method.temperature='hot'", "0.2"], False),
    "null for a number": (["train", "optimizer.lr=null"], ["optimizer.lr=null", "number"], False),
    "fraction for an integer": (["train", "trainer.batch_size=3.5"], ["trainer.batch_size"], False),
    "temperature 0": (["train", "method.temperature=0"], ["method.temperature=0", "> 0"], False),
    "negative epochs": (["train", "trainer.epochs=-1"], ["trainer.epochs=-1", ">= 1"], False),
    "negative seed": (["train", "seed=-1"], ["seed=-1"], False),
    "probability above 1": (["train", "augment.flip=1.5"], ["augment.flip=1.5", "<= 1"], False),
    "name of a baseline": (["train", "name=before"], ["name=before", "baselines", "another name"], False),
    "unknown precision": (["train", "trainer.precision=fp16"], ["fp16", "bf16"], False),
    "unknown duration": (["train", "schedule.warmup=soon"], ["soon", "10%", "epochs", "steps"], False),
    "unknown budget": (["train", "dataset.labels=few"], ["few", "10%", "4/class"], False),
    "propagated labels of no run": (["train", "dataset.pseudo_labels=nowhere"], ["nowhere", "does not exist"], False),
    "budget of nothing": (["train", "dataset.labels=0%"], ["0%"], False),
    "parts that do not fit": (["train", "trainer.accumulate=7"], ["trainer.accumulate=7", "256"], False),
    "pretext without two views": (["train", "pretext=augment"], ["two_views", "pretext=multi_crop|two_views"], False),
    "folder without root": (["train", "dataset=folder"], ["dataset.root is not set", "dataset.root=DIR"], False),
    "missing folder": (["train", "dataset=folder", "dataset.root=nowhere"], ["nowhere", "does not exist"], False),
    "empty folder": (["train", "dataset=folder", "dataset.root=empty"], ["empty"], True),
    "no image in folder": (["train", "dataset=folder", "dataset.root=texts"], ["texts", "image"], True),
    "a stray image": (["train", "dataset=folder", "dataset.root=stray"], ["a.png", "dataset.layout=classes"], True),
    "broken image": (["train", "dataset=folder", "dataset.root=broken"], ["b/torn.png", "on_error=skip"], True),
    "batch too large": (["train", "trainer.batch_size=5000"], ["5000", "1258", "1024"], True),
    "budget too large": (["train", "dataset.labels=500/class"], ["500/class", "class '"], True),
    "images too small": (["train", "backbone=resnet18", "backbone.stem=imagenet"], ["32", "16"], True),
    "queue that does not fit": (["train", "method=moco", "method.queue_size=300"], ["300", "256"], True),
    "queue smaller than the batch": (["train", "method=nnclr", "method.queue_size=64"], ["64", "256"], True),
    "too many prototypes": (["train", "method=swav", "method.prototypes=5000"], ["5000", "1258"], True),
    "too many clusters": (["train", "method=deepcluster", "method.clusters=5000"], ["5000", "1258"], True),
    "one view for two": (
        ["train", "method=byol", "pretext=augment"],
        ["two_views", "pretext=multi_crop|two_views"],
        False,
    ),
    "labels of pairs without labels": (
        [
            "train",
            "method=siamese",
            "method.pairs=labels",
            "dataset=folder",
            "dataset.root=flat",
            "trainer.batch_size=4",
        ],
        ["pairs=labels", "needs labels", "one folder a class"],
        True,
    ),
    "value of several": (["train", "seed=1,2"], ["seed=1,2", "ssl train -m seed=1,2"], False),
    "empty value": (["probe", "ckpt="], ["ckpt is not set"], False),
    "infinite temperature": (["train", "method.temperature=inf"], ["method.temperature=inf"], False),
    "warm-up longer than training": (["train", "schedule.warmup=1000 epochs"], ["4000 steps", "240"], True),
    "two betas": (["train", "optimizer.betas=[0.9]"], ["optimizer.betas", "[0.9, 0.999]"], True),
    "directory that cannot be made": (["train", "hydra.run.dir=good.pt/run"], ["hydra.run.dir"], False),
    "interpolation in a checkpoint": (["probe", "ckpt=interpolation.pt"], ["interpolation"], True),
    "device not there": (["train", "trainer.device=mps"], ["mps", "cpu"], True),
    "run directory in use": (
        ["train", "hydra.run.dir=texts"],
        ["texts", "not empty", "nothing was overwritten"],
        False,
    ),
    "resume nothing": (["train", "resume=nowhere"], ["nowhere"], False),
    "pretext without pseudo-labels": (
        ["train", "method=predict", "pretext=two_views"],
        ["pseudo_labels", "pretext=", "rotation"],
        False,
    ),
    "tiles that do not fit": (
        ["train", "method=predict", "pretext=jigsaw", "pretext.grid=8"],
        ["tiles do not fit", "pretext.grid"],
        True,
    ),
    "masks of another kind": (
        ["train", "method=mae", "pretext=rotation"],
        ["pretext=masked_patches|masked_patches_small"],
        False,
    ),
    "patches without room": (
        ["train", "method=predict", "pretext=relative_patch", "pretext.gap=5"],
        ["smaller pretext.gap"],
        True,
    ),
    "map of colours that does not fit": (
        ["train", "method=predict", "pretext=colorization", "dataset=shapes", "pretext.reduction=6"],
        ["pretext.reduction=6", "write pretext.reduction=2"],
        True,
    ),
    "colours of grey images": (["train", "method=predict", "pretext=colorization"], ["grey", "pretext=rotation"], True),
    "transformer's patches for a convnet": (["train", "method=mae", "backbone=convnet"], ["vit_small_images"], True),
    "labels missing for a semi-supervised method": (
        ["train", "method=fixmatch", "dataset=folder", "dataset.root=flat", "trainer.batch_size=8"],
        ["method=fixmatch needs labels", "one folder a class"],
        True,
    ),
    "nothing left unlabelled": (
        ["train", "method=fixmatch"],
        ["no image of digits unlabelled", "dataset.labels=10/class", "method=supervised"],
        True,
    ),
    "a batch without the ratio": (
        ["train", "method=fixmatch", "dataset.labels=4/class", "trainer.batch_size=100"],
        ["method.mu=7", "trainer.batch_size=96"],
        True,
    ),
    "norms in an energy": (["train", "method=ebm", "backbone=convnet"], ["backbone=convnet_plain"], True),
    "start from nothing": (["train", "method=supervised", "init=nowhere"], ["init=nowhere", "does not exist"], False),
    "start from another backbone": (
        ["train", "method=supervised", "init=good.pt", "backbone=resnet18"],
        ["another backbone", "leave backbone out"],
        True,
    ),
    "freeze random weights": (["train", "trainer.freeze_backbone=true"], ["random weights", "init=RUN"], True),
    "two means for one channel": (["train", "dataset.mean=[0.5,0.5]"], ["dataset.mean=[0.5, 0.5]", "1 channels"], True),
    "resume what is no run": (["train", "resume=texts"], ["texts", "not a run directory"], False),
    "latest of no runs": (["train", "resume=last"], ["no run", "train one first"], False),
    "no checkpoint named": (["probe"], ["ckpt is not set", "last"], False),
    "missing checkpoint": (["probe", "ckpt=nowhere"], ["nowhere", "does not exist"], False),
    "directory without checkpoint": (["probe", "ckpt=texts"], ["texts", "last.pt"], False),
    "not a checkpoint": (["probe", "ckpt=texts/readme.txt"], ["readme.txt", "not a checkpoint"], True),
    "foreign checkpoint": (["probe", "ckpt=foreign.pt"], ["foreign.pt", "not a checkpoint of ssl"], True),
    "truncated checkpoint": (["probe", "ckpt=truncated.pt"], ["truncated.pt", "damaged"], True),
    "checkpoint of another version": (["probe", "ckpt=future.pt"], ["future.pt", "version 99"], True),
    "checkpoint of a training that failed": (["probe", "ckpt=nan.pt"], ["nan.pt", "NaN or infinite"], True),
    "checkpoint that names code": (["probe", "ckpt=hostile.pt"], ["os.system", "trusted_modules"], True),
    "checkpoint with a pickle": (["probe", "ckpt=pickle.pt"], ["pickle.pt", "not a checkpoint"], True),
    "unknown probe": (["probe", "ckpt=nowhere", "probe=lienar"], ["did you mean 'linear'"], False),
    "data that do not fit": (
        ["probe", "ckpt=good.pt", "dataset=shapes", "dataset.storage_size=32", "dataset.channels=3"],
        ["1x16x16", "3x32x32"],
        True,
    ),
}


class Gadget:
    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.fixture(scope="module")
def bad_inputs(trained, tmp_path_factory):
    """A directory with what the cases above name."""
    from PIL import Image

    run, _ = trained
    root = tmp_path_factory.mktemp("bad")
    for name in ("empty", "texts", "broken/a", "broken/b", "stray/a", "stray/b"):
        (root / name).mkdir(parents=True)
    (root / "flat").mkdir()
    for i in range(8):
        Image.new("RGB", (20, 20)).save(root / f"flat/{i}.png")
    (root / "texts/readme.txt").write_text("no image")
    for i in range(4):
        Image.new("RGB", (20, 20)).save(root / f"broken/a/{i}.png")
        Image.new("RGB", (20, 20)).save(root / f"broken/b/{i}.png")
    for name in ("a", "a/1", "b/2"):
        Image.new("RGB", (20, 20)).save(root / f"stray/{name}.png")
    payload = (root / "broken/a/0.png").read_bytes()
    (root / "broken/b/torn.png").write_bytes(payload[: len(payload) // 2])
    content = (run / "checkpoints/last.pt").read_bytes()
    (root / "good.pt").write_bytes(content)
    (root / "truncated.pt").write_bytes(content[: len(content) // 2])
    state = torch.load(run / "checkpoints/last.pt", weights_only=True)
    torch.save({**state, "version": 99}, root / "future.pt")
    weights = {k: v * float("nan") if v.is_floating_point() else v for k, v in state["model"].items()}
    torch.save({**state, "model": weights}, root / "nan.pt")
    hostile = {**state["config"], "backbone": {"_target_": "os.system", "command": "touch executed"}}
    torch.save({**state, "config": hostile}, root / "hostile.pt")
    sneaky = {
        **state["config"],
        "backbone": {**state["config"]["backbone"], "widths": "${oc.create:{_target_: os.system}}"},
    }
    torch.save({**state, "config": sneaky}, root / "interpolation.pt")
    torch.save({"state_dict": {}}, root / "foreign.pt")
    torch.save(Gadget(), root / "pickle.pt")
    return root


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(ssl, bad_inputs, case, monkeypatch, capsys):
    args, texts, may_need_torch = BAD[case]
    ssl.cwd = bad_inputs
    before = ssl.files()
    if may_need_torch:  # in this process, which has torch already
        monkeypatch.chdir(bad_inputs)
        monkeypatch.setattr(sys, "argv", ["ssl"])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
        status, err = main(args), capsys.readouterr().err
    else:
        outcome = ssl(*args, process="light")
        status, err = outcome.status, outcome.err
        assert not outcome.modules & TORCH, "torch was imported to find an error in the config"
    lines = err.strip().splitlines()
    assert status == 2, err
    assert len(lines) == 1 and lines[0].startswith("error: "), err
    for text in texts:
        assert text in lines[0]
    assert ssl.files() == before, "something was written"


def test_a_directory_elsewhere_is_not_left_behind(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["train", "trainer.accumulate=7", f"hydra.run.dir={tmp_path / 'there'}"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["here"] and not any((tmp_path / "here").iterdir())


def test_broken_images_can_be_skipped_and_are_counted(ssl, bad_inputs):
    args = ["dataset=folder", f"dataset.root={bad_inputs / 'broken'}", "dataset.on_error=skip"]
    outcome = ssl("train", *args, "trainer.batch_size=4", "trainer.dry_run=true")
    assert outcome.status == 0, outcome.err
    assert "1 broken" in outcome.out


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[2Jb", "a\u202eb", "a\x00b", "\udcff"])
def test_an_error_is_one_line_that_only_says_something(text):
    shown = one_line(UserError(text))
    assert shown.isprintable() and len(shown.splitlines()) == 1 and ("\\" in shown)
    assert one_line("猫 кот قط 😺 a\\b 'c'") == "猫 кот قط 😺 a\\b 'c'"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["export", "ckpt=${seed}"], "error: an interpolation leads nowhere: there is no setting 'seed'"),
        (["train", "resume\nx=run"], "error: cannot read 'resume\\nx=run'; write KEY=VALUE"),
        (["train", "~method"], "is not a group of settings"),
        (
            ["train", "trainer.epochs=${nothing}"],
            "error: an interpolation leads nowhere: there is no setting 'nothing'",
        ),
        (["train", "method=moco", "method.queue_size={}"], "error: method.queue_size={} is not a whole number"),
        (["train", "method=moco", "method.queue_size={a:1}"], "method.queue_size"),
        (["train", "--cfg"], "error: --cfg shows one of job, hydra, all, not ''\n"),
        (["train", "--multirun=3"], "error: the flag --multirun takes no value; write --multirun\n"),
        (["train", "method=simclr", "--config-dir"], "error: the flag --config-dir needs a value"),
    ],
)
def test_what_hydra_takes_badly_is_one_line(ssl, args, said):
    outcome = ssl(*args, process="light")
    assert outcome.status == 2 and said in outcome.err and outcome.err.count("\n") == 1, outcome.err
    assert "torch" not in outcome.modules
