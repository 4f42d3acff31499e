"""The inputs that a run was trained on, wherever they are now: known again by file name and content."""

import functools
import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ssl_cli.config.chosen import dataset_settings, moved_along, moved_root
from ssl_cli.config.words import command
from ssl_cli.data.base import Data, split_fingerprint
from ssl_cli.data.dataset import load
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError
from ssl_cli.runs.catalog import read_json

FILE = "splits.json"  # {"train": {"ant/1.png": "734-1f3a...", ...}, "val": ..., "test": ...}: below the root, `content`
TEST_ROOT = "dataset.test_root"  # begins the names of files that are below it
PIECE = 4096  # bytes that are read at the beginning, the middle and the end of a file
COMPARED = 1000  # files whose pieces are compared before a run's inputs are used again; of the others only the size
Splits = Mapping[str, Mapping[str, str]]


def files_by_split(data: Data, root: str, test_root: str | None = None) -> dict[str, dict[str, str]]:
    """Return what `FILE` holds: of each split the files, by their names below ``root``, and what they are
    known by: `content`.
    """
    return {
        split: {below(root, test_root, data.files[i]): content(data.files[i]) for i in at.tolist()}
        for split, at in data.splits.items()
    }


def kept_splits(run: Path) -> Splits | None:
    """Return what `files_by_split` wrote into a run's directory; None for an older run, or one without files."""
    content = read_json(run / FILE)
    whole = content and all(isinstance(content.get(split), dict) for split in ("train", "val", "test"))
    return content if whole else None


def check_same_files(data: Data, root: str, kept: Splits | None, test_root: str | None = None) -> None:
    """Raise ``UserError`` where files have the names that the run's had, and another content."""
    before = {name: known for files in (kept or {}).values() for name, known in files.items()}
    here = {name: file for file in data.files if (name := below(root, test_root, file)) in before}
    closely = set(sorted(here)[:: -(-len(here) // COMPARED)]) if here else set()
    changed = [
        name
        for name, file in sorted(here.items())
        if before[name] != (content(file) if name in closely else f"{_size(file)}-{before[name].partition('-')[2]}")
    ]
    if changed:
        raise UserError(
            f"{len(changed)} of the {len(before)} {data.noun}s in {root} have the names of those that the run was "
            f"trained on but another content ({changed[0]}, say); bring these back: dataset.root=DIR"
        )


def own_inputs(node: dict[str, Any], info: DataInfo, run: Path) -> tuple[Data, str]:
    """Load a run's own inputs with its own splits, also where they have moved, or some of them are gone.

    Args:
        node: the run's settings of the data set; ``root`` is where the inputs are now.
        info: what the run knew of them.
        run: its directory.

    Returns:
        The inputs, and a line that says what is not as it was, or ``""``.

    Raises:
        UserError: they are others, and which of them the run was trained on is not known.
    """
    kept, root, test_root = kept_splits(run), node.get("root"), node.get("test_root")
    if root is not None and kept is not None:  # what is gone could change what is found out
        node = info.stored_as(node)
        if node.get("labels_file") is not None:  # which may have a row for it
            node["on_error"] = "skip"
    data = load(node, info.seen_own)
    if split_fingerprint(data) == info.splits:
        if root is not None and data.files:
            check_same_files(data, root, kept, test_root)
        return data, ""
    if kept is None or root is None or not data.files or data.classes != info.classes:
        other = command("ssl", "probe", ckpt=run, **dataset_settings(node, info.name))
        place = "file=FILE" if node.get("file") else "root=DIR"
        raise UserError(
            f"the {data.noun}s of {data.name} are not those that the run was trained on (their names, labels or "
            "number), so its test split could hold some that it has seen; bring them back, and name their place with "
            f"dataset.{place}, or measure these as other {data.noun}s: {other}"
        )
    check_same_files(data, root, kept, test_root)
    row = {below(root, test_root, file): i for i, file in enumerate(data.files)}
    splits = {
        split: torch.tensor(sorted(row[name] for name in kept[split] if name in row), dtype=torch.int64)
        for split in ("train", "val", "test")
    }
    if not len(splits["train"]):
        raise UserError(f"none of the {data.noun}s that the run was trained on is in {root}; write dataset.root=DIR")
    known, here = (torch.cat([*parts.values()]) for parts in (splits, data.splits))
    before = sum(map(len, kept.values()))
    gone, new = before - len(known), int((~torch.isin(here, known)).sum())
    what = f"{gone} of its {before} {data.noun}s are gone, and {new} new ones are left out"
    what = what if gone or new else "not all labels are as they were"
    return replace(data, splits=splits), f"{data.name}: the run's own splits by file name: {what}"


def without_trained(data: Data, own: dict[str, Any], info: DataInfo, run: Path) -> tuple[Data, str]:
    """Leave out of the test split what the run was trained on, whatever it is called there.

    Args:
        data: inputs of a data set that was named beside the run.
        own: the run's settings of its own data set, with ``root`` set to that of ``data`` where it has one.
        info: what the run knew of its inputs.
        run: its directory.

    Returns:
        The inputs, and a line that says how many were left out, or ``""``.

    Raises:
        UserError: nothing is left to test on.
    """
    seen = _trained(own, info, run) if data.files else set()
    test = data.splits["test"]
    known = torch.tensor([content(data.files[i]) in seen for i in test.tolist()] if seen else [], dtype=torch.bool)
    if not known.any():
        return data, ""
    if known.all():
        moved = command("ssl", "probe", ckpt=run, **{"dataset.root": own.get("root")})
        raise UserError(
            f"the run was trained on all {len(test)} test {data.noun}s of {data.name}; for the test split that it has "
            f"kept apart: {moved}"
        )
    count = int(known.sum())
    note = f"{count} of the {len(test)} test {data.noun}s of {data.name} were trained on by the run: they are left out"
    return replace(data, splits={**data.splits, "test": test[~known]}), note


def _trained(own: dict[str, Any], info: DataInfo, run: Path) -> set[str]:
    """Return the `content` of the files that a run was trained on; of an older run, if these inputs are its own."""
    if (kept := kept_splits(run)) is not None:
        return set(kept["train"].values())
    if own.get("root") is None or "layout" not in own:
        return set()
    try:
        data = load(own)
    except UserError:  # it was of another kind of folder
        return set()
    own_splits = split_fingerprint(data) == info.splits
    return {content(data.files[i]) for i in data.splits["train"].tolist()} if own_splits else set()


def stored_node(node: dict[str, Any], run: Path, root: str | None, **others: str | None) -> dict[str, Any]:
    """Return a run's settings of its data set with ``root`` where the inputs are now.

    What is not where it was and not named is looked for beside or below the new root, as it was with the old one.

    Args:
        node: as stored.
        run: its directory.
        root: as typed; None: where they were.
        others: ``test_root``, ``labels_file`` and ``file``, likewise.

    Raises:
        UserError: the data set has no such place.
    """
    found = moved_root(node, read_json(run / "env.json") or {})
    for key, path in {"root": root, **others}.items():
        if path is None:
            continue
        if key == "root" and node.get("file") is not None:
            raise UserError(
                f"the run's data are in one file; write dataset.file=FILE for dataset.root={path}, or dataset=NAME "
                "beside it for others"
            )
        if key not in node or (key != "root" and node[key] is None):
            what = "data are in no folder" if key == "root" else f"data set has no {key}"
            raise UserError(f"the run's {what}; leave dataset.{key} out, or write dataset=NAME beside it")
        found[key] = str(Path(path).expanduser().absolute())
    return found if root is None else moved_along(found, str(node["root"]))


def content(file: str) -> str:
    """Return what a file is known by under any name: its bytes, and a digest of its beginning, middle and end."""
    digest = hashlib.sha256()
    with Path(file).open("rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        whole = opened.read() if size <= 3 * PIECE else None  # one read is far quicker than three
        for start in (0, size // 2, max(size - PIECE, 0)):
            if whole is None:
                opened.seek(start)
            digest.update(opened.read(PIECE) if whole is None else whole[start : start + PIECE])
    return f"{size}-{digest.hexdigest()[:16]}"


def below(root: str, test_root: str | None, file: str) -> str:
    """Return a file's name below the root, or behind `TEST_ROOT` below that of the test files."""
    if test_root is not None:
        name = _relative(file, test_root)
        if name.partition(os.sep)[0] != os.pardir:
            return f"{TEST_ROOT}/{name}"
    return _relative(file, root)


def _relative(file: str, root: str) -> str:
    """Return what `os.path.relpath` does; it normalises both each time, so most files do not come to it."""
    root = _expanded(root)
    name = file[len(root) + 1 :] if file.startswith(root + os.sep) else os.sep
    return name if os.path.normpath(name) == name and name[0] != os.sep else os.path.relpath(file, root)


@functools.cache
def _expanded(root: str) -> str:
    return str(Path(root).expanduser())


def _size(file: str) -> int:
    return Path(file).stat().st_size
