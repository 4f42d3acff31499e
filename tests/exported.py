"""What tests of exports share: a network that nobody has trained, and what a directory's example says of a picture."""

import functools
import runpy
import sys
from pathlib import Path

import pytest
import torch
from experiments import option
from omegaconf import OmegaConf

from ssl_cli.backbones.build import build_backbone
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.export.kinds import KINDS
from ssl_cli.export.model import Model
from ssl_cli.export.subject import Subject, _images


def needs(to: str) -> None:
    for package in KINDS[to]:
        pytest.importorskip(package)
    if to == "onnx":
        list_operators_once()


@functools.cache
def list_operators_once() -> None:
    """Let the exporter keep its list of what ONNX can do: to write it takes as long as to export a small network."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    ONNXRegistry.from_torchlib = staticmethod(functools.cache(ONNXRegistry.from_torchlib))


def shown(directory: Path, picture: Path, monkeypatch, capsys) -> tuple[list[float], dict[str, float]]:
    """Run the example of a directory, without ssl; return the features and the probabilities that it prints."""
    monkeypatch.setattr(sys, "argv", ["example.py", str(picture)])
    monkeypatch.setattr(sys, "path", [str(directory), *sys.path])
    monkeypatch.delitem(sys.modules, "network", raising=False)
    hidden = {name: None for name in sys.modules if name.split(".")[0] == "ssl_cli"}
    with monkeypatch.context() as context:
        for name in hidden:
            context.setitem(sys.modules, name, None)  # importing it raises
        capsys.readouterr()
        runpy.run_path(str(directory / "example.py"))
    features, *classes = capsys.readouterr().out.splitlines()
    return [float(x) for x in features.split()[1:]], {k: float(v) for k, v in (line.split(": ") for line in classes)}


def subject(name: str, channels: int = 3, **settings) -> Subject:
    """A backbone of conf/, narrow or shallow, that nobody has trained."""
    node = OmegaConf.to_container(option("backbone", name), resolve=True)
    small = {"widths": [4, 8], "dim": 32, "depth": 2, "heads": 2}
    node |= {key: value for key, value in small.items() if key in node} | settings
    side = max(16, 2 * node.get("patch_size", 1)) if settings.get("stem") != "imagenet" else 32
    numbers = {"mean": (0.4,) * channels, "std": (0.2,) * channels}
    info = ImageInfo("shapes", channels, side, ("a", "b", "c"), 9, 9, 9, **numbers)
    backbone = build_backbone(node, info, 0, pretrained=False)
    with torch.no_grad():
        for layer in backbone.modules():  # as training leaves them
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.5, 2)
    config = OmegaConf.create({"name": "simclr", "seed": 0, "dataset": {"labels": "all"}, "backbone": node})
    model = Model(backbone, info, torch.nn.Linear(backbone.dim, 3))
    return Subject(model, config, 1, "a test", {}, _images(info, None))
