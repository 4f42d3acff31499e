"""How to build a backbone without ssl: by torchvision where it has such a network, else by a file of plain torch."""

import ast
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ssl_cli import __version__
from ssl_cli.export.subject import Subject

RESNET = "ssl_cli.backbones.resnet.ResNet"
_BASE = "ssl_cli.backbones.base"  # what is trained by; of a network by itself nothing is left of it
_HEADER = f"# How the weights are computed with: plain torch, from ssl-cli {__version__} (Apache License 2.0).\n"


@dataclass
class Network:
    """What builds a backbone."""

    imports: list[str]  # lines of Python
    lines: list[str]  # that end with a network ``model`` which takes the ``weights``
    weights: dict[str, Tensor]
    files: Mapping[str, str]  # name -> content, to lie beside the weights
    needs: str  # packages, beside torch, numpy, pillow and safetensors


def network(s: Subject) -> Network:
    """Return how to build the backbone of a model."""
    target, settings = s.backbone
    weights = {name: weight.contiguous().clone() for name, weight in s.model.backbone.state_dict().items()}
    if target == RESNET:
        weights = {name.removeprefix("net."): weight for name, weight in weights.items()}
        return Network([], _by_torchvision(settings), weights, {}, "torchvision")
    module, _, name = target.rpartition(".")
    arguments = ", ".join(f"{key}={value!r}" for key, value in settings.items())
    if module.startswith("ssl_cli."):
        files = {"network.py": _HEADER + standalone(module)}
        return Network([f"from network import {name}"], [f"model = {name}({arguments})"], weights, files, "torchvision")
    package = module.partition(".")[0]  # somebody's own: what it needs itself is not known here
    return Network(
        [f"from {module} import {name}"], [f"model = {name}({arguments})"], weights, {}, f"torchvision and {package}"
    )


def _by_torchvision(settings: dict[str, Any]) -> list[str]:
    """Return the lines that make torchvision's network equal to `ssl_cli.backbones.resnet.ResNet`."""
    channels, cifar = settings["in_channels"], settings.get("stem", "cifar") == "cifar"
    group = settings.get("norm", "batch") == "group"
    norm = "norm_layer=lambda channels: torch.nn.GroupNorm(32, channels)" if group else ""
    kernel = (3, 1, 1) if cifar else (7, 2, 3)
    lines = [f"model = models.{settings.get('arch', 'resnet18')}({norm})"]
    if cifar or channels != 3:
        size, stride, padding = kernel
        lines.append(
            f"model.conv1 = torch.nn.Conv2d({channels}, 64, {size}, stride={stride}, padding={padding}, bias=False)"
        )
    lines += ["model.maxpool = torch.nn.Identity()"] if cifar else []
    return [*lines, "model.fc = torch.nn.Identity()  # features come out"]


def standalone(module: str) -> str:
    """Return the source of a module of ssl, with that of all that it imports from ssl before it."""
    parts: list[str] = []
    seen: set[str] = set()

    def add(name: str) -> None:
        if name in seen:
            return
        seen.add(name)
        if name == _BASE:
            parts.append("from torch import nn\n\nBackbone = nn.Module\n")
            return
        source = Path(importlib.util.find_spec(name).origin).read_text(encoding="utf-8")
        lines = source.splitlines()
        for node in ast.parse(source).body:
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "ssl_cli":
                add(node.module)
                lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
        parts.append("\n".join(lines).strip() + "\n")

    add(module)
    return "\n\n".join(parts)
