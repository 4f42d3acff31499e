"""``ssl export``: the file holds the checkpoint's backbone to the last bit, and says enough to build it again."""

import importlib
import json
import re
from pathlib import Path

import pytest
import torch
from experiments import composed, train
from safetensors import safe_open

from ssl_cli.commands.export import run as export
from ssl_cli.probes.frozen.features import extract
from ssl_cli.runs import checkpoint
from ssl_cli.setup.restore import open_checkpoint

PAGE = (Path(__file__).parents[2] / "docs/export.md").read_text()


def read(file):
    with safe_open(str(file), "pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata()  # noqa: SIM118 (no dict)


def built(metadata):
    module, _, name = metadata["backbone"].rpartition(".")
    return getattr(importlib.import_module(module), name)(**json.loads(metadata["backbone_settings"]))


def exported(run, out):
    assert export(composed("export", [f"ckpt={run}", f"out={out}"])) == 0
    return read(out)


def assert_backbone(weights, state, prefix):
    expected = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    assert weights.keys() == expected.keys() and len(weights) > 5
    assert all(
        torch.equal(weights[key], value) and weights[key].dtype == value.dtype for key, value in expected.items()
    )


def test_weights_are_the_checkpoints_and_give_the_same_features(ssl, trained):
    run, _ = trained
    outcome = ssl("export", f"ckpt={run}")
    assert outcome.status == 0, outcome.err
    file = run / "export/backbone.safetensors"
    assert f"backbone: {file}" in outcome.out
    weights, about = read(file)
    saved = checkpoint.load(run / "checkpoints/last.pt")
    assert_backbone(weights, saved["model"], "backbone.")

    fresh, here = built(about), open_checkpoint(run / "checkpoints/last.pt", composed("embed", ["ckpt=unused"]))
    fresh.load_state_dict(weights)
    mean, std = (json.loads(about[key]) for key in ("mean", "std"))
    some = here.data.splits["test"][:50]
    both = [
        extract(network.to(memory_format=torch.contiguous_format), here.data.images, some, here.info, "cpu")
        for network in (fresh, here.method.measured)
    ]
    assert torch.equal(*both) and both[0].shape[1] == int(about["feature_dim"]) and both[0].std() > 0
    assert (tuple(mean), tuple(std)) == (here.info.mean, here.info.std)
    assert about["backbone"] == "ssl_cli.backbones.convnet.ConvNet" and about["format"] == "pt"
    assert (
        json.loads(about["backbone_settings"]).items()
        >= {"in_channels": 1, "widths": [8, 16, 32], "norm": "batch"}.items()
    )
    facts = ("method", "dataset", "image_size", "channels", "step")
    assert [about[key] for key in facts] == ["simclr", "digits", "16", "1", str(saved["progress"]["step"])]

    again = ssl("export", f"ckpt={run}/checkpoints/best.pt")  # a second one is put beside the first
    assert again.status == 0 and f"backbone: {file.with_name('backbone-2.safetensors')}" in again.out
    best = checkpoint.load(run / "checkpoints/best.pt")
    assert_backbone(read(file.with_name("backbone-2.safetensors"))[0], best["model"], "backbone.")


def test_the_average_is_written_where_that_is_what_is_measured(tmp_path):
    settings = ["method=mean_teacher", "dataset.labels=4/class", "backbone.widths=[4,8]", "trainer.max_steps=3"]
    experiment, _ = train(tmp_path / "run", settings)
    weights, about = exported(tmp_path / "run", tmp_path / "file.safetensors")
    for key, value in experiment.method.measured.state_dict().items():
        assert torch.equal(weights[key], value), key
    assert any(not torch.equal(weights[key], value) for key, value in experiment.method.backbone.state_dict().items())
    assert about["method"] == "mean_teacher" and about["step"] == "3"


@pytest.mark.parametrize("arch", ["resnet18", pytest.param("resnet50", marks=pytest.mark.slow)])
def test_torchvision_reads_a_resnet_by_the_lines_of_the_readme(tmp_path, arch):
    settings = [
        f"backbone={arch}",
        "backbone.stem=imagenet",
        "dataset=shapes",
        "dataset.num_images=40",
        "dataset.storage_size=32",
    ]
    settings += ["method=supervised", "optimizer=sgd", "trainer.batch_size=4", "trainer.max_steps=1"]
    train(tmp_path / "run", settings)
    weights, about = exported(tmp_path / "run", tmp_path / "file.safetensors")
    (lines,) = (block for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S) if "safetensors" in block)
    assert "backbone.safetensors" in lines and "resnet18" in lines
    names = {}
    exec(lines.replace("backbone.safetensors", str(tmp_path / "file.safetensors")).replace("resnet18", arch), names)
    theirs, ours = names["model"].eval(), built(about).eval()
    ours.load_state_dict(weights)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(theirs(images), ours(images)) and theirs(images).shape == (2, int(about["feature_dim"]))


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["out=there.safetensors"], "there.safetensors exists; nothing was overwritten"),
        (["out=weights.pt"], "write out=weights.safetensors"),
        (["ckpt=missing"], "ckpt=missing does not exist"),
        (["outs=f.safetensors"], "there is no setting 'outs'"),
        (["dataset=digits"], "dataset"),
    ],
)
def test_mistakes_are_one_line_before_torch_is_imported(ssl, trained, args, expected):
    (ssl.cwd / "there.safetensors").write_text("mine")
    before = ssl.files()
    outcome = ssl("export", f"ckpt={trained[0]}", *args, process="light")
    assert outcome.status == 2 and expected in outcome.err and outcome.err.count("\n") == 1
    assert "torch" not in outcome.modules and ssl.files() == before


def test_what_is_no_checkpoint_or_cannot_be_written_is_said(ssl, trained):
    (ssl.cwd / "last.pt").write_bytes(b"nothing")
    (ssl.cwd / "file").touch()
    for args, expected in (
        (["ckpt=last.pt"], "last.pt is damaged or not a checkpoint"),
        ([f"ckpt={trained[0]}", "out=file/backbone.safetensors"], "cannot write file/backbone.safetensors"),
    ):
        outcome = ssl("export", *args)
        assert outcome.status == 2 and expected in outcome.err and outcome.err.count("\n") == 1, outcome.err
    assert {file.name for file in ssl.cwd.iterdir()} == {"last.pt", "file"}


def test_without_the_package_the_extra_is_named(ssl, trained, tmp_path_factory):
    hidden = tmp_path_factory.mktemp("hidden")  # python starts with this: no package of that name is found
    hidden.joinpath("sitecustomize.py").write_text(
        "import importlib.util as u\nfound = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'safetensors' else found(name, package)\n"
    )
    outcome = ssl("export", f"ckpt={trained[0]}", process="fresh", PYTHONPATH=str(hidden))
    assert outcome.status == 2 and outcome.err == "error: ssl export needs safetensors: pip install 'ssl-cli[export]'\n"
