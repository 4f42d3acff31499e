"""Checkpoints: tensors and plain values in one file that rebuilds its model, and that is never half there."""

import hashlib
import io
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from ssl_cli import __version__
from ssl_cli.errors import RunError, UserError
from ssl_cli.system.atomic import replace, replacing, replacing_by_copy

FORMAT = "ssl-checkpoint"
VERSION = 1
OVERHEAD = 1 << 20  # bytes that a file is larger than its tensors, at most: names, config, alignment


def save(file: Path, content: Mapping[str, Any], previous: Path | None = None) -> None:
    """Write tensors and plain values so that a crash at any moment leaves the old file or the new one, whole.

    The file's sha256 goes beside it, because the format does not notice a flipped bit. The sum is written first and
    keeps the old ones too, so that the pair is sound at every moment.

    Args:
        file: the checkpoint.
        content: what it holds.
        previous: becomes what ``file`` was.

    Raises:
        RunError: it cannot be written; what was there before is untouched.
    """
    sums = sums_of(file)
    try:
        with replacing(file) as stream:
            writer = _HashingWriter(stream)
            try:
                torch.save({"format": FORMAT, "version": VERSION, "ssl": __version__, **content}, writer)
            except RuntimeError as error:
                raise (writer.error or error) from error  # torch complains of what a failed write has left
            if previous is not None:
                keep(file, previous)
            before = _hashes(sums.read_text())[:7] if sums.is_file() else []  # more than one where a save failed
            new = f"{writer.digest.hexdigest()}  {file.name}"
            replace(sums, f"{new}\n# before: {' '.join(before) or 'none'}\n".encode())
    except OSError as error:
        needed = (size(content) + OVERHEAD) / 1e6
        free = shutil.disk_usage(file.parent).free / 1e6
        kept = f"the {file.name} before it is whole" if file.is_file() else "there is none before it"
        raise RunError(
            f"cannot save {file}: {error.strerror or error}; it needs {needed:,.0f} MB and {free:,.0f} MB are free "
            f"there; {kept}"
        ) from error


def keep(file: Path, copy: Path) -> None:
    """Make ``copy`` a copy of ``file``; both are whole at every moment."""
    if not file.is_file():
        return
    with replacing_by_copy(file, copy):
        if sums_of(file).is_file():
            known = sums_of(copy).read_text() if sums_of(copy).is_file() else ""
            newest, *others = _hashes(sums_of(file).read_text()) + _hashes(known)[:1]
            replace(sums_of(copy), f"{newest}  {copy.name}\n# before: {' '.join(others)}\n".encode())


def remove(file: Path) -> None:
    """Remove a checkpoint and its sum."""
    file.unlink(missing_ok=True)
    sums_of(file).unlink(missing_ok=True)


def sums_of(file: Path) -> Path:
    """Return the file that a checkpoint's sha256 is in."""
    return file.with_name(file.name + ".sha256")


def size(content: Any) -> int:
    """Return the bytes of all tensors in nested containers."""
    return sum(tensor.nbytes for tensor in _tensors(content))


def load_weights(module: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load a state dict whole, or leave the module as it was.

    Raises:
        UserError: names the first key that differs, or the first weight that is no number.
    """
    own = module.state_dict()
    for key in (*own, *state):
        there, here = (tuple(s[key].shape) if key in s else None for s in (state, own))
        if there != here:
            shapes = [f"of shape {list(shape)}" if shape is not None else "missing" for shape in (there, here)]
            raise UserError(
                f"{what} does not fit this model: {key} is {shapes[0]} in the checkpoint and {shapes[1]} in the model; "
                "nothing was loaded"
            )
    for key, _ in module.named_parameters():
        if not state[key].isfinite().all():
            raise UserError(
                f"{what} cannot be used: {key} has values that are NaN or infinite, so its training has failed"
            )
    module.load_state_dict(state)


class _HashingWriter:
    """Passes bytes on to a file and hashes them on the way; keeps the error of a failed write."""

    def __init__(self, stream: BinaryIO):
        self.stream, self.digest, self.error = stream, hashlib.sha256(), None

    def write(self, payload: Any) -> int:
        try:
            written = self.stream.write(payload)
        except OSError as error:
            self.error = error
            raise
        self.digest.update(payload)
        return written

    def flush(self) -> None:
        self.stream.flush()


def _tensors(node: Any) -> Iterator[Tensor]:
    if isinstance(node, Tensor):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from _tensors(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _tensors(value)


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
    try:
        payload = file.read_bytes()
        sums = sums_of(file).read_text(errors="replace") if sums_of(file).is_file() else None
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    if sums is not None and hashlib.sha256(payload).hexdigest() not in _hashes(sums):
        raise UserError(f"{file} is damaged: its sha256 is not the one in {sums_of(file).name}; use another checkpoint")
    try:
        if sums is None and (member := zipfile.ZipFile(io.BytesIO(payload)).testzip()):  # the next best: the format's
            raise ValueError(f"the CRC of {member} is wrong")
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
    for key in ("config", "data", "model", "progress"):
        if not isinstance(content[key], Mapping):
            raise UserError(f"{file} is not a checkpoint of ssl: its {key} is not a mapping")
    if not isinstance(content["progress"].get("step"), int):
        raise UserError(f"{file} is not a checkpoint of ssl: it does not say at which step it was written")
    if not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content["model"].items()):
        raise UserError(f"{file} is not a checkpoint of ssl: its model holds something other than tensors")
    return content
