"""What a directory can be. Imports no torch."""

from pathlib import Path

from ssl_cli.errors import UserError

KINDS = {  # -> the packages that it is written and checked with
    "safetensors": ("safetensors",),
    "timm": ("safetensors", "timm"),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
}


def check_directory(out: Path) -> None:
    """Raise ``UserError`` for a directory that is there, and for what looks like the name of a file."""
    if out.suffix in (".safetensors", ".onnx"):
        raise UserError(f"out={out} is the name of a file, and to= writes a directory; write out=DIR")
    if out.exists():
        raise UserError(f"{out} exists; nothing was overwritten: write another out=DIR")
