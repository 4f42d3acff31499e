"""The layout of a folder of images: its image files, with class and split. Decodes nothing."""

import os
from collections.abc import Callable
from pathlib import Path

from ssl_cli.data.images.files import first_layout
from ssl_cli.data.images.files.guess import guessed, guessed_splits
from ssl_cli.data.images.files.names import as_text, composed, few, last
from ssl_cli.data.images.files.split_names import assigned, is_split, meaning
from ssl_cli.data.images.files.tree import Entry, Listing, Tree
from ssl_cli.errors import UserError

OF_FOLDERS = "rename it, or use no labels: dataset.layout=flat"
Reader = Callable[[Tree, str, str], tuple[list[Entry], list[str]]]  # reads a split's folder: entries and notes


def list_images(root: Path, layout: str, reading: int, test_root: Path | None = None, audited: bool = False) -> Listing:
    """List the images below a folder.

    Args:
        root: the folder.
        layout: ``splits``, ``classes``, ``flat``, or ``auto`` to find out (see ``folder.load``).
        reading: version of the rules: 1, or a later one.
        test_root: the folder of the test images; None: they are below the root, or there are none yet.
        audited: keep images of val and test that have no class.

    Raises:
        UserError: a folder cannot be read; ``auto`` finds more than one meaning; two folders are the same split, or
            have the same name in Unicode; ``splits`` finds no train; val or test has a class that train does not have.
    """
    if reading == 1:
        return first_layout.list_images(root, layout)
    tree = Tree(root, without=test_root)
    top, notes = _top(tree, layout)
    layout = guessed(tree, top) if layout == "auto" else layout
    if layout == "splits":
        entries, found = _by_split(tree, top, _by_class)
    elif layout == "classes":
        entries, found = _by_class(tree, top, "train")
        found = ["read as one folder per class", *found]
    else:
        entries, found = _in_one(tree, top, "train")
        found = ["read as images without labels", *found]
    if test_root is not None:
        held_out, more = _held_out(test_root, entries, _in_one if layout == "flat" else _by_class)
        entries, found = entries + held_out, found + more
    if layout != "flat":
        entries, checked = checked_classes(entries, "image", audited=audited)
        found += checked
    return Listing(entries, "; ".join([*notes, *found, *tree.notes()]))


def list_files(root: Path, layout: str, in_table: bool, test_root: Path | None = None) -> Listing:
    """List the images below a folder with classes in a table: no image has a class yet.

    Args:
        root: the folder.
        layout: ``splits``, ``flat``, or ``auto``: by split folders if there are any.
        in_table: whether the splits are in the table, too.
        test_root: as in `list_images`.

    Raises:
        UserError: as `list_images`; or the layout is by classes, or both layout and table give splits.
    """
    if layout == "classes" or (layout == "splits" and in_table):
        what, write = ("labels", "flat") if layout == "classes" else ("splits", "flat, or dataset.split_column=none")
        raise UserError(
            f"dataset.layout={layout} takes {what} from folders, and dataset.labels_file has some, too; write "
            f"dataset.layout={write}"
        )
    tree = Tree(root, without=test_root)
    top, notes = _top(tree, layout)
    if layout == "auto":
        layout = "flat" if in_table else guessed_splits(tree, top)
    entries, found = _by_split(tree, top, _in_one) if layout == "splits" else _in_one(tree, top, "train")
    if test_root is not None:
        held_out, more = _held_out(test_root, entries, _in_one)
        entries, found = entries + held_out, found + more
    return Listing(entries, "; ".join([*notes, *found, *tree.notes()]))


def _held_out(test_root: Path, entries: list[Entry], read: Reader) -> tuple[list[Entry], list[str]]:
    """Read the folder of the test images; their names are absolute."""
    if any(split == "test" for _, _, split in entries):
        raise UserError(
            f"dataset.root has a test split, and dataset.test_root={as_text(test_root)} is another; leave one out"
        )
    tree = Tree(test_root)
    found, notes = read(tree, "", "test")
    if not found:
        raise UserError(f"dataset.test_root={as_text(test_root)} has no image in it ({'; '.join(tree.notes())})")
    base = os.path.abspath(test_root)  # noqa: PTH100 (links stay as they are)
    return [(os.path.join(base, file), *rest) for file, *rest in found], [  # noqa: PTH118 (a Path takes many times as long)
        f"test images of {as_text(test_root)}",
        *notes,
        *tree.notes(),
    ]


def _in_one(tree: Tree, folder: str, split: str) -> tuple[list[Entry], list[str]]:
    """All images below the folder, without a class."""
    return [(file, None, split) for file in tree.files_below(folder)], []


def _top(tree: Tree, layout: str) -> tuple[str, list[str]]:
    """Return the folder to read (the root, or the only folder in it with images) and a note on this."""
    inside = tree.inside("")
    if layout == "flat" or tree.files_in("") or len(inside) != 1 or meaning(last(inside[0])):
        return "", []
    return inside[0], [f"looked through the outer folder {as_text(inside[0])}"]


def _by_split(tree: Tree, top: str, read: Reader) -> tuple[list[Entry], list[str]]:
    """Read the split folders, each by ``read``; leave out what is beside them, and name it in a note."""
    folders = tree.folders(top)
    splits = assigned(filter(is_split, folders))
    if "train" not in splits.values():
        raise UserError(
            f"dataset.layout=splits needs a folder named train in {as_text(tree.root / top)}; write dataset.layout=auto"
        )
    entries, notes = [], []
    for folder, split in splits.items():
        found, more = read(tree, folder, split)
        entries += found
        notes += more if found else [f"{as_text(folder)} has no image"]
    if "train" not in {split for _, _, split in entries}:
        raise UserError(
            f"no image to train on in {as_text(tree.root / top)} ({'; '.join([*notes, *tree.notes()])}); put some into "
            "train, or write dataset.layout=flat"
        )
    for folder in folders:
        if meaning(last(folder)) == "unlabelled":
            entries += [(file, None, "train") for file in tree.files_below(folder)]
    names = (as_text(f) if last(f) == split else f"{as_text(f)} as {split}" for f, split in splits.items())
    notes = [f"read as split folders ({', '.join(names)})", *notes]
    others = [folder for folder in tree.inside(top) if meaning(last(folder)) is None]
    if others or tree.files_in(top):
        notes.append(f"left out beside them: {tree.counted(others, tree.files_in(top))}")
    return entries, notes


def _by_class(tree: Tree, folder: str, split: str) -> tuple[list[Entry], list[str]]:
    """Each first-level folder is a class, with all images below it; images beside the folders have no class."""
    loose, names, empty = tree.files_in(folder), {}, []
    entries: list[Entry] = [(file, None, split) for file in loose]
    for inner in tree.folders(folder):
        label, files = composed(as_text(last(inner))), tree.files_below(inner)
        if label in names:
            raise UserError(
                f"two folders in {as_text(tree.root / folder)} have one name, which Unicode writes in two ways: "
                f"{ascii(last(names[label]))} and {ascii(last(inner))}; rename one"
            )
        names[label] = inner
        entries += [(file, None if meaning(label) == "unlabelled" else label, split) for file in files]
        empty += [] if files else [as_text(inner)]
    notes = [f"folders without an image: {few(empty)}"] if empty else []
    if loose and len(names) > len(empty):
        notes.append(f"without a class, beside the folders: {tree.counted([], loose)}")
    return entries, notes


def checked_classes(
    entries: list[Entry], noun: str, remedy: str = OF_FOLDERS, audited: bool = False
) -> tuple[list[Entry], list[str]]:
    """Make the classes of the splits agree; return the entries to use and notes on the others.

    Args:
        entries: all there are.
        noun: what one of them is called, for the notes.
        remedy: what to do about a class of val or test that train lacks.
        audited: also use those of val and test without a class.

    Raises:
        UserError: there is such a class.
    """
    notes = []
    known = {label for _, label, split in entries if split == "train" and label is not None}
    for file, label, split in entries:
        if label is not None and label not in known:
            raise UserError(
                f"class '{label}' of {split} ({as_text(file)}) is not in train, which has "
                f"{few(sorted(known)) or 'no classes'}; {remedy}"
            )
    if len(known) < 2:
        if known:
            notes.append(f"a single class ({known.pop()}) is no label: read as {noun}s without labels")
        entries = [(file, None, split) for file, _, split in entries]
    used = [entry for entry in entries if entry[1] is not None or entry[2] == "train" or audited]
    if len(used) < len(entries):
        notes.append(f"{len(entries) - len(used)} {noun}s without a class in val or test left out")
    if {split for _, _, split in used} == {"train", "val"}:
        notes.append("val is used as the test split, and a new val is carved from train")
        used = [(file, label, "test" if split == "val" else split) for file, label, split in used]
    return used, notes
