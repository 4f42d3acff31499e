"""How a folder of video files is read: of which class, split and group each file is. Decodes nothing."""

import os
from collections.abc import Mapping
from pathlib import Path

from ssl_cli.data.clips.decode import ENDINGS
from ssl_cli.data.images.files.annotations import as_splits, called
from ssl_cli.data.images.files.cache import shown
from ssl_cli.data.images.files.columns import column, match_files
from ssl_cli.data.images.files.guess import guessed
from ssl_cli.data.images.files.layout import checked_classes
from ssl_cli.data.images.files.names import as_text, composed, few, last
from ssl_cli.data.images.files.split_names import assigned, is_split, meaning
from ssl_cli.data.images.files.table import read_table
from ssl_cli.data.images.files.tree import Entry, Listing, Tree
from ssl_cli.errors import UserError

NOUN = "video"
OF_TABLES = "correct the table, or write dataset.split_column=none: then splits are carved, by class"


def list_videos(root: Path, layout: str) -> Listing:
    """List the files of video below a folder.

    Args:
        root: the folder.
        layout: ``splits``: train/ [val/] [test/] with one folder per class in each, and perhaps unlabelled/;
            ``classes``: one folder per class; ``flat``: a folder or a tree of files without labels; ``auto``: the one
            that the folders' names allow, see `guess.guessed`.

    Raises:
        UserError: a folder cannot be read, there is no file, ``auto`` finds more than one meaning, ``splits`` finds no
            train/, or a class of val or test is not in train.
    """
    tree = Tree(root, endings=ENDINGS, noun=NOUN)
    beside = []
    layout = guessed(tree, "") if layout == "auto" else layout
    if layout == "flat":
        entries, how = [(file, None, "train") for file in tree.files_below("")], "files without labels"
    elif layout == "classes":
        entries, how = _by_class(tree, "", "train"), "one folder per class"
    else:
        folders = tree.inside("")
        splits = assigned(filter(is_split, folders))
        if "train" not in splits.values():
            raise UserError(
                f"dataset.layout=splits needs a folder named train in {shown(root)}; write dataset.layout=auto"
            )
        entries = [entry for folder, split in splits.items() for entry in _by_class(tree, folder, split)]
        unlabelled = [folder for folder in folders if meaning(last(folder)) == "unlabelled"]
        entries += [(file, None, "train") for folder in unlabelled for file in tree.files_below(folder)]
        beside = [*(folder for folder in folders if meaning(last(folder)) is None), *tree.files_in("")]
        how = f"split folders ({', '.join(map(as_text, splits))})"
    if not entries:
        raise UserError(f"dataset.root={shown(root)} has no file of video in it ({'; '.join(tree.notes()) or 'empty'})")
    entries, notes = checked_classes(entries, NOUN)
    notes += [f"left out beside them: {few(map(as_text, beside))}"] if beside else []
    return Listing(entries, "; ".join([f"read as {how}", *notes, *tree.notes()]))


def annotated(root: Path, file: Path, columns: dict[str, str | None]) -> Listing:
    """List the files of video below a folder with what a table says of each; a file without a row has no label.

    Args:
        root: the folder.
        file: the table, see `table.read_table`.
        columns: ``file``, ``label``, ``split`` and ``group``: their names; None: by a usual name.

    Raises:
        UserError: the table cannot be read, a row is of no file, two of one differ, a split is none, a group lies in
            several, or a class of val or test is not in train.
    """
    table = read_table(file, "dataset.labels_file", "file,label", "file")
    used = {"label": column(table, "label", columns["label"], needed=True)}
    for kind in ("split", "group"):
        used[kind] = column(table, kind, columns[kind], needed=False, taken=list(used.values()))
    tree = Tree(root, endings=ENDINGS, noun=NOUN)
    names = tree.files_below("")
    if not names:
        raise UserError(f"dataset.root={shown(root)} has no file of video in it ({'; '.join(tree.notes()) or 'empty'})")
    base = os.fspath(root.absolute())
    by, found = match_files(table, columns["file"], [called(name, base, None) for name in names], first=False)
    lost = sorted(table.rows.keys() - {line for at in found.lines for line in at})
    if lost:
        cells = table.cells(by)
        raise UserError(
            f"{len(lost)} of the {len(table.rows)} rows of {shown(file)} are of no file of video below {shown(root)}: "
            f"{few(f'{cells[line]} (line {line})' for line in lost)}; write dataset.file_column=NAME, or remove them"
        )
    says = {kind: {} if name is None else table.cells(name) for kind, name in used.items()}
    splits = as_splits(table, used["split"], {line: cell for line, cell in says["split"].items() if cell})
    entries, groups = [], {}
    for name, at in zip(names, found.lines, strict=True):
        labels = {composed(as_text(says["label"][line])) for line in at if says["label"][line]}
        if len(labels) > 1:
            raise UserError(f"the rows of {as_text(name)} in {shown(file)} differ: {few(sorted(labels))}; correct one")
        split = next((splits[line] for line in at if line in splits), "train")
        label = next(iter(labels), None) if split != "unlabelled" else None
        entries.append((name, label, "train" if split == "unlabelled" else split))
        if group := next((says["group"][line] for line in at if says["group"].get(line)), None):
            groups[name] = group
    _check_groups(entries, groups, file)
    entries, notes = checked_classes(entries, NOUN, OF_TABLES)
    what = ", ".join(f"{kind}s in column {name}" for kind, name in {"file": by, **used}.items() if name is not None)
    return Listing(entries, "; ".join([f"labels of {shown(file.name)}: {what}", *notes]), groups)


def _by_class(tree: Tree, folder: str, split: str) -> list[Entry]:
    """Each first-level folder is a class, with all that is below it; files beside them have none."""
    entries: list[Entry] = [(file, None, split) for file in tree.files_in(folder)]
    for inner in tree.folders(folder):
        label = composed(as_text(last(inner)))
        unlabelled = meaning(label) == "unlabelled"
        entries += [(file, None if unlabelled else label, split) for file in tree.files_below(inner)]
    return entries


def _check_groups(entries: list[Entry], groups: Mapping[str, str], table: Path) -> None:
    """Raise ``UserError`` where a group lies in several splits."""
    splits: dict[str, set[str]] = {}
    for file, _, split in entries:
        if file in groups:
            splits.setdefault(groups[file], set()).add(split)
    torn = [f"{as_text(group)} ({', '.join(sorted(at))})" for group, at in splits.items() if len(at) > 1]
    if torn:
        raise UserError(
            f"{shown(table)} has groups in several splits: {few(torn)}; correct it, or write dataset.group_column=none"
        )
