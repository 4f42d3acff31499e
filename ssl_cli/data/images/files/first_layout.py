"""The first rules for reading folders (``dataset.reading=1``), which runs from that time need.

They do not change, with their faults: a run finds the images, classes and splits that it was trained on.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from ssl_cli.data.images.files.decode import suffixes
from ssl_cli.data.images.files.tree import Entry, Listing
from ssl_cli.errors import UserError

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
UNLABELLED = ("unlabelled", "unlabeled")
LATER = {".mpo", ".heic", ".heics", ".heif", ".heifs", ".hif"}  # endings that were not read as images then


def list_images(root: Path, layout: str) -> Listing:
    """List the images below a folder; see `layout.list_images`.

    Args:
        root: the folder.
        layout: ``splits``, ``classes``, ``flat``, or ``auto`` to guess.

    Raises:
        UserError: a folder cannot be read, ``splits`` is given without a train/, or val/ or test/ has a class that
            train/ does not have.
    """
    tree = _Tree(root)
    folders = tree.folders("")
    splits = {name: split for key, split in SPLITS.items() for name in folders if name.lower() == key}
    if layout == "auto":
        if "train" in splits.values():
            layout = "splits"
        else:
            classes = sum(tree.has_images(name) for name in folders)
            layout = "classes" if classes >= 2 and not tree.has_images("") else "flat"

    if layout == "splits":
        if "train" not in splits.values():
            raise UserError(
                f"dataset.layout=splits needs a folder named train in {shown(root)}; write dataset.layout=auto"
            )
        entries = [entry for name, split in splits.items() for entry in _by_class(tree, name, split)]
        for name in folders:
            if name.lower() in UNLABELLED:
                entries += [(file, None, "train") for file in tree.images_below(name)]
        entries, notes = _checked(entries)
        notes.insert(0, f"read as split folders ({', '.join(splits)})")
    elif layout == "classes":
        entries, notes = _checked(_by_class(tree, "", "train"))
        notes.insert(0, "read as one folder per class")
    else:
        entries = [(file, None, "train") for file in tree.images_below("")]
        notes = ["read as images without labels"]
    if tree.ignored:
        notes.append(f"{len(tree.ignored)} other files ignored")
    return Listing(entries, "; ".join(notes))


def _by_class(tree: "_Tree", folder: str, split: str) -> list[Entry]:
    """Each first-level folder is a class, with all images below it; images beside the folders have no class."""
    entries = [(file, None, split) for file in tree.images_in(folder)]
    for name in tree.folders(folder):
        label = None if name.lower() in UNLABELLED else shown(name)
        entries += [(file, label, split) for file in tree.images_below(f"{folder}/{name}" if folder else name)]
    return entries


def _checked(entries: list[Entry]) -> tuple[list[Entry], list[str]]:
    """Make the classes of the splits agree; return the entries to use and notes on the others."""
    notes = []
    known = {label for _, label, split in entries if split == "train" and label is not None}
    for file, label, split in entries:
        if label is not None and label not in known:
            raise UserError(
                f"class '{label}' of {split} ({shown(file)}) is not in train, which has "
                f"{', '.join(sorted(known)) or 'no class folders'}; rename it, or use no labels: dataset.layout=flat"
            )
    if len(known) < 2:
        if known:
            notes.append(f"a single class ({known.pop()}) is no label: read as images without labels")
        entries = [(file, None, split) for file, _, split in entries]
    used = [entry for entry in entries if entry[1] is not None or entry[2] == "train"]
    if len(used) < len(entries):
        notes.append(f"{len(entries) - len(used)} images without a class in val or test left out")
    if {split for _, _, split in used} == {"train", "val"}:
        notes.append("val is used as the test split, and a new val is carved from train")
        used = [(file, label, "test" if split == "val" else split) for file, label, split in used]
    return used, notes


class _Tree:
    """A directory tree: names in a stable order, hidden ones left out, every linked folder visited once."""

    def __init__(self, root: Path):
        self.root = root
        self.suffixes = suffixes() - LATER
        self.ignored: set[str] = set()  # files that are not images by their name

    def folders(self, folder: str) -> list[str]:
        return next(self._walk(folder))[0]

    def images_in(self, folder: str) -> list[str]:
        return next(self._walk(folder))[1]

    def has_images(self, folder: str) -> bool:
        return bool(self.images_in(folder))

    def images_below(self, folder: str) -> list[str]:
        return [file for _, files in self._walk(folder) for file in files]

    def _walk(self, folder: str) -> Iterator[tuple[list[str], list[str]]]:
        """Yield, from ``folder`` downwards, the names of a folder's folders and its images relative to the root."""

        def refuse(error: OSError) -> None:
            raise UserError(f"cannot read the folder {shown(error.filename)}: {error.strerror}")

        seen = set()  # real paths, as links may make loops
        for path, folders, files in os.walk(self.root / folder, followlinks=True, onerror=refuse):
            real = os.path.realpath(path)
            folders[:] = [] if real in seen else sorted(name for name in folders if _visible(name))
            if real in seen:
                continue
            seen.add(real)
            here = Path(os.path.relpath(path, self.root))
            images = []
            for name in sorted(filter(_visible, files)):
                file = here / name
                if file.suffix.lower() in self.suffixes:
                    images.append(os.fspath(file))
                else:
                    self.ignored.add(os.fspath(file))
            yield folders, images


def shown(path: str | os.PathLike) -> str:
    """Return a path or class as the first rules wrote it: two of them could become equal."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"
