"""A file of weights -> tensors by name. Nothing that it holds is run."""

import argparse
import hashlib
import importlib.util
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_cli.config.words import word
from ssl_cli.errors import UserError
from ssl_cli.runs.checkpoint import FORMAT

# What training scripts put beside tensors, and what can do nothing but hold values.
PLAIN = [
    argparse.Namespace,
    np.dtype,
    type(np.dtype("f4")),
    type(np.dtype("f8")),
    type(np.dtype("i8")),
    np._core.multiarray.scalar if hasattr(np, "_core") else np.core.multiarray.scalar,
]
IN_DIRECTORY = ("model.safetensors", "pytorch_model.bin", "model.pth")  # how weights are called there, best first


@dataclass
class Content:
    """What a file holds."""

    tensors: dict[str, Tensor]  # by dotted name; what stands in nested mappings has their keys before it
    about: dict[str, str]  # texts that a safetensors file says of itself


def weights_in(path: Path) -> Path:
    """Return the file of weights: the path itself, or the one in a directory of timm's.

    Raises:
        UserError: there is none in it.
    """
    if not path.is_dir():
        return path
    found = next((path / name for name in IN_DIRECTORY if (path / name).is_file()), None)
    if found is None:
        raise UserError(
            f"backbone.weights={path} is a directory without {' or '.join(IN_DIRECTORY)}; name the file of the weights"
        )
    return found


def read(path: Path) -> Content:
    """Read a ``.safetensors``, or a ``.pt``, ``.pth`` or ``.bin`` as PyTorch writes them, as tensors and plain values.

    Raises:
        UserError: it cannot be read, or holds no tensors, more than tensors, a checkpoint of ssl.
    """
    if path.suffix == ".safetensors":
        return _safetensors(path)
    node = _pickled(path)
    if isinstance(node, Mapping) and node.get("format") == FORMAT:
        raise UserError(f"{path} is a checkpoint of ssl; write {word('init', path)} instead of backbone.weights")
    tensors = dict(_flat(node))
    if not tensors:
        raise UserError(f"{path} holds no tensors by name; save a state dict: torch.save(model.state_dict(), FILE)")
    return Content(tensors, {})


def about(path: Path) -> dict[str, str]:
    """Return the texts that a safetensors file says of itself; ``{}`` of any other file. Tensors are not read."""
    if path.suffix != ".safetensors":
        return {}
    with _opened(path) as file:
        return dict(file.metadata() or {})


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def config_beside(path: Path) -> dict[str, Any]:
    """Return what the ``config.json`` of a directory of timm's says, ``{}`` where there is none.

    Raises:
        UserError: it cannot be read.
    """
    file = path / "config.json"
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file} cannot be read ({' '.join(str(error).split())}); write the file of the weights"
        ) from error
    return content if isinstance(content, dict) else {}


def _opened(path: Path) -> Any:
    if importlib.util.find_spec("safetensors") is None:
        raise UserError(f"{path.name} needs safetensors to be read: pip install 'ssl-cli[export]'")
    from safetensors import safe_open

    try:
        return safe_open(path, "pt")
    except Exception as error:  # its own kind, or one of the system
        raise _damaged(path, error) from error


def _safetensors(path: Path) -> Content:
    with _opened(path) as file:
        try:
            return Content({name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {}))  # noqa: SIM118
        except Exception as error:
            raise _damaged(path, error) from error


def _pickled(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(PLAIN), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, before it refuses a program
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is not its own
        if (found := re.search(r"Unsupported (?:global|class): (?:GLOBAL )?([\w.]+)", str(error))) is None:
            if "TorchScript" in str(error):
                raise _not_only_tensors(path, "a TorchScript program") from error
            raise _damaged(path, error) from error
        raise _not_only_tensors(path, *_what_it_is(path, found[1])) from error


def _what_it_is(path: Path, first: str) -> tuple[str, str]:
    """Return what a file is that holds more than tensors, and how its state dict is got out of it."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except ValueError:  # written by an old PyTorch
        names = [first]
    if any(name.startswith(("torch.nn.", "torchvision.", "timm.")) for name in names):
        return f"a whole pickled model ({first})", ".state_dict()"
    return f"a file that holds other things than tensors ({first})", '["state_dict"]'


def _not_only_tensors(path: Path, what: str, out: str = ".state_dict()") -> UserError:
    load = "torch.jit.load" if "Script" in what else "torch.load"
    unsafe = "" if "Script" in what else ", weights_only=False"
    return UserError(
        f"{path} is {what}, and to read it could run any code; if you trust it, save its state dict, and name that: "
        f'torch.save({load}("{path.name}"{unsafe}){out}, "weights.pt")'
    )


def _damaged(path: Path, error: Exception) -> UserError:
    reason = "the file is empty" if path.is_file() and path.stat().st_size == 0 else "damaged, or of another kind"
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    return UserError(
        f"the weights in {path} cannot be read: {reason}; backbone.weights takes .safetensors files, and state dicts "
        "that torch.save has written"
    )


def _flat(node: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    if isinstance(node, Tensor):
        yield prefix, node
    elif isinstance(node, Mapping) and depth < 4:
        for key, value in node.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key), depth + 1)
