"""The directory of an exported model: written beside its place, and put there when it is whole and checked."""

import contextlib
import json
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ssl_cli.export import card, example
from ssl_cli.export.kinds import check_directory
from ssl_cli.export.subject import Subject
from ssl_cli.system.atomic import replace, write_json


def write_directory(out: Path, to: str, s: Subject) -> float | None:
    """Write a directory that works without ssl.

    Args:
        out: the directory, which is not there yet.
        to: one of `kinds.KINDS`.
        s: what is exported.

    Returns:
        How far from the model the numbers of the copy were, at most; None where nothing was computed again.

    Raises:
        UserError: ``out`` is there, this network cannot become such a directory, or the copy is not the model.
        OSError: it cannot be written.
    """
    facts = card.about(s, to)
    with _new_directory(out) as directory:
        program, needs, apart = {"safetensors": _safetensors, "timm": _timm, "onnx": _onnx}[to](directory, s, facts)
        replace(directory / "example.py", program.encode())
        write_json(directory / "about.json", facts)
        replace(directory / "README.md", card.card(s, facts, program, needs, apart).encode())
    return apart


def _safetensors(directory: Path, s: Subject, facts: dict[str, Any]) -> tuple[str, str, None]:
    from safetensors.torch import save

    from ssl_cli.export.network import network

    net, pre = network(s), facts["preprocessing"]
    says = {
        "format": "pt",
        "image_size": str(pre["size"]),
        "mean": json.dumps(pre["mean"]),
        "std": json.dumps(pre["std"]),
    }
    replace(directory / "model.safetensors", save(net.weights, says))
    if s.model.head is not None:
        replace(directory / "head.safetensors", save(s.model.head.state_dict(), {"format": "pt"}))
    for name, content in net.files.items():
        replace(directory / name, content.encode())
    return example.torch_example(s, net), f"torch pillow safetensors {net.needs}", None


def _timm(directory: Path, s: Subject, facts: dict[str, Any]) -> tuple[str, str, float]:
    from ssl_cli.export.timm_directory import write

    return example.timm_example(s), "timm pillow", write(directory, s)


def _onnx(directory: Path, s: Subject, facts: dict[str, Any]) -> tuple[str, str, float]:
    from ssl_cli.export.onnx_file import write

    return example.onnx_example(s), "numpy pillow onnxruntime", write(directory / "model.onnx", s, facts)


@contextlib.contextmanager
def _new_directory(out: Path) -> Iterator[Path]:
    """Yield a directory that becomes ``out`` at the end, and vanishes where that is not reached."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(6)}")
    temporary.mkdir()
    try:
        yield temporary
        check_directory(out)  # once more: the work took its time
        temporary.rename(out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
