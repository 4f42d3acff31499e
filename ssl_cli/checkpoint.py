"""Checkpoints: tensors and plain values in one file that rebuilds its model, and that is never half there."""

import hashlib
import io
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ssl_cli import __version__
from ssl_cli.atomic import replace
from ssl_cli.errors import UserError

FORMAT = "ssl-checkpoint"
VERSION = 1


def save(file: Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain values so that a crash at any moment leaves the old file or the new one, whole.

    The file's sha256 goes beside it, because the format does not notice a flipped bit. The sum is written first and
    keeps the old one too, so that the pair is sound at every moment.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "version": VERSION, "ssl": __version__, **content}, buffer)
    payload = buffer.getvalue()
    sums = file.with_name(file.name + ".sha256")
    old = sums.read_text().split()[0] if sums.is_file() else "none"
    replace(sums, f"{hashlib.sha256(payload).hexdigest()}  {file.name}\n# before: {old}\n".encode())
    replace(file, payload)


def keep_previous(file: Path, previous: Path) -> None:
    """Let ``previous`` be what ``file`` is now, before a new ``file`` is written; both are whole at every moment."""
    if not file.is_file():
        return
    link = previous.with_name(f".{previous.name}.{secrets.token_hex(6)}")
    try:
        os.link(file, link)
    except OSError:  # a file system without links
        shutil.copy2(file, link)
    sums = file.with_name(file.name + ".sha256")
    if sums.is_file():
        old = previous.with_name(previous.name + ".sha256")
        known = old.read_text() if old.is_file() else ""
        newest, *others = _hashes(sums.read_text()) + _hashes(known)[:1]
        replace(old, f"{newest}  {previous.name}\n# before: {' '.join(others)}\n".encode())
    link.replace(previous)


def newest_sound(directory: Path) -> tuple[Path, dict[str, Any], list[str]]:
    """Return the checkpoint of a run that has come farthest and is whole, its content, and what was wrong with others.

    ``last.pt`` is taken without a look at the others if it is sound.

    Raises:
        UserError: none is; the message is that of ``last.pt``.
    """
    problems: list[str] = []
    try:
        return directory / "last.pt", load(directory / "last.pt"), problems
    except UserError as error:
        problems.append(str(error))
    found = None
    for file in sorted(directory.glob("*.pt")):
        if file.name == "last.pt":
            continue
        try:
            content = load(file)
        except UserError as error:
            problems.append(str(error))
            continue
        if found is None or content["progress"]["step"] > found[1]["progress"]["step"]:
            found = file, content
    if found is None:
        raise UserError(problems[0])
    return *found, problems


def _hashes(text: str) -> list[str]:
    return re.findall(r"\b[0-9a-f]{64}\b", text)


def load(file: Path) -> dict[str, Any]:
    """Read a checkpoint as tensors and plain values only.

    Raises:
        UserError: missing, damaged, not a checkpoint of ssl, or of a version that this one cannot read.
    """
    if not file.is_file():
        raise UserError(f"there is no checkpoint {file}; write ckpt=RUN with a directory that a run has printed")
    payload = file.read_bytes()
    sums = file.with_name(file.name + ".sha256")
    if sums.is_file() and hashlib.sha256(payload).hexdigest() not in sums.read_text().split():
        raise UserError(f"{file} is damaged: its sha256 is not the one in {sums.name}; use another checkpoint")
    try:
        content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is not its own
        raise UserError(f"{file} is damaged or not a checkpoint; ckpt takes what `ssl train` has written") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{file} is not a checkpoint of ssl; ckpt takes what `ssl train` has written")
    if content.get("version") != VERSION:
        raise UserError(
            f"{file} has checkpoint version {content.get('version')}, this ssl reads version {VERSION}; "
            f"it was written by ssl {content.get('ssl')}: install that"
        )
    missing = {"config", "data", "model", "progress"} - content.keys()
    if missing:
        raise UserError(f"{file} is not a whole checkpoint: it lacks {', '.join(sorted(missing))}")
    return content
