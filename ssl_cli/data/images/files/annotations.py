"""Labels, splits and groups of the user's own images, from a table with one row an image."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_cli.data.images.files.cache import shown
from ssl_cli.data.images.files.columns import column, match_files
from ssl_cli.data.images.files.layout import checked_classes, list_files
from ssl_cli.data.images.files.names import as_text, composed, few
from ssl_cli.data.images.files.rows import Image, of_several
from ssl_cli.data.images.files.slips import Slip, Slips, at_line, several_labels
from ssl_cli.data.images.files.split_names import meaning
from ssl_cli.data.images.files.table import Table, read_table
from ssl_cli.data.images.files.tree import Entry, Listing
from ssl_cli.errors import UserError

KEEPS = ("test", "val", "train")  # a group that lies in several splits stays in the first of these


@dataclass(frozen=True)
class Columns:
    """The columns that the user names; None: by their usual names, see `columns.column`."""

    file: str | None = None
    label: str | None = None
    split: str | None = None
    group: str | None = None


def annotated(
    root: Path,
    layout: str,
    file: Path,
    columns: Columns,
    on_error: str,
    test_root: Path | None = None,
    audited: bool = False,
) -> Listing:
    """List the images below a folder, with label, split and group from a table.

    An image without a row, or with an empty cell, has no label. The splits come from the table, else from split
    folders, else there is only train.

    Args:
        root: the folder.
        layout: see `layout.list_files`.
        file: the table, see `table.read_table`.
        columns: of the table.
        on_error: ``stop``, or ``skip``: leave out what `Slip` lists. These are rows of no image or of several, images
            with rows that differ or with several labels, images of val and test with a class that train does not have,
            and images of a group in several splits (those outside of test or, if there is none, of val).
        test_root: see `layout.list_images`.
        audited: keep groups that lie in several splits, and images of val and test without a class.

    Raises:
        UserError: the table or the folder cannot be read, no row is of an image, a split has no valid name, or there
            is something to leave out and ``on_error`` is ``stop``.
    """
    table, slips = read_table(file, "dataset.labels_file", "file,label"), Slips(file)
    used = {"label": column(table, "label", columns.label, needed=True)}
    for kind, named in (("split", columns.split), ("group", columns.group)):
        used[kind] = column(table, kind, named, needed=False, taken=list(used.values()))
    says = {kind: _cells(table, name) for kind, name in used.items()}
    several = several_labels(says["label"].values())
    says["split"] = as_splits(table, used["split"], says["split"])
    listing = list_files(root, layout, used["split"] is not None, test_root)
    if not listing.entries:
        return listing
    base = os.fspath(root.absolute())
    images = [called(file, base, test_root) for file, *_ in listing.entries]
    held_out = sum(file == image.path for (file, *_), image in zip(listing.entries, images, strict=True))
    tested = {line for line, split in says["split"].items() if split == "test"} if used["split"] else None
    used["file"], lines, ways = _rows_of(table, columns.file, images, held_out, tested)
    lines = _certain(table.cells(used["file"]), images, lines, slips)

    entries, groups, counts = [], {}, Counter(rows=sum(map(bool, lines)))
    for (name, _, place), image, at in zip(listing.entries, images, lines, strict=True):
        told = {kind: {cells[line]: line for line in reversed(at) if line in cells} for kind, cells in says.items()}
        if unlike := next((kind for kind, values in told.items() if len(values) > 1), None):
            values = " or ".join(f"{value} in line {line}" for value, line in reversed(told[unlike].items()))
            slips.add(Slip.UNLIKE, f"{as_text(image.name)} ({unlike} {values})")
            continue
        label, split, group = (next(iter(values), None) for values in told.values())
        if label in several:
            slips.add(Slip.LABELS, f"'{label[:60]}' (line {told['label'][label]})")
            continue
        counts["empty"] += bool(at) and label is None
        unlabelled = label is None or split == "unlabelled"
        entries.append((name, None if unlabelled else label, "train" if split == "unlabelled" else split or place))
        groups |= {name: group} if group is not None else {}
    known = {label for _, label, split in entries if split == "train" and label is not None}
    for name, label, split in entries:
        if label is not None and label not in known:
            slips.add(Slip.CLASS, f"{as_text(name)} ({label}, in {split})")
    entries = [entry for entry in entries if entry[1] is None or entry[1] in known]
    entries = entries if audited else _in_one_split(entries, groups, slips)
    left_out = slips.settle(on_error)
    labelled = sum(label is not None for _, label, _ in entries)
    entries, checked = checked_classes(entries, "image", audited=audited)
    notes = [
        f"labels of {shown(file.name)}: {len(table.rows):,} rows, "
        + ", ".join(f"{kind}s in column {name}" for kind, name in {"file": "", **used}.items() if name is not None),
        f"{labelled:,} of {len(images):,} images with a label, {len(images) - counts['rows']:,} without a row, "
        f"{counts['empty']:,} with an empty cell",
        f"{len(set(groups.values())):,} groups, {len(images) - len(groups):,} images without one" if groups else "",
        *(f"file names read {way}" for way in dict.fromkeys(ways) if way),
        *checked,
        _alike(known),
        left_out,
    ]
    return Listing(entries, "; ".join(filter(None, [*notes, listing.note])), groups)


def called(file: str, root: str, test_root: Path | None) -> Image:
    """Return the names that a table may use for a listed file: relative to the root, or to the test root if absolute.

    Args:
        file: as in a listing.
        root: absolute.
        test_root: see `layout.list_images`.
    """
    path = os.path.join(root, file)  # noqa: PTH118 (a Path takes many times as long)
    held_out = test_root is not None and path == file
    return Image(os.path.relpath(path, test_root) if held_out else file, path)


def _cells(table: Table, name: str | None) -> dict[int, str]:
    """Return the cells of a column that are not empty, by line, as class names are written."""
    cells = {} if name is None else {line: cell for line, cell in table.cells(name).items() if cell}
    written = {cell: composed(as_text(cell)) for cell in set(cells.values())}
    return {line: written[cell] for line, cell in cells.items()}


def as_splits(table: Table, name: str | None, cells: Mapping[int, str]) -> dict[int, str]:
    """Return ``train``, ``val``, ``test`` or ``unlabelled`` for each cell of the column of splits."""
    means = {cell: meaning(cell) for cell in cells.values()}
    for line, cell in cells.items():
        if means[cell] is None:
            raise UserError(
                f"line {line} of {shown(table.file)}: {name} is '{cell[:40]}', which is not train, val or test; "
                "correct it, or write dataset.split_column=NAME, or dataset.split_column=none for no column"
            )
    evaluation = "val" if "test" in means.values() else "test"
    return {line: evaluation if means[cell] == "eval" else means[cell] for line, cell in cells.items()}


def _rows_of(
    table: Table, named: str | None, images: Sequence[Image], held_out: int, tested: set[int] | None
) -> tuple[str, list[list[int]], list[str]]:
    """Return the column of file names, the lines of each image, and the ways in which the names were read.

    Args:
        table: with one row an image.
        named: the column that the user names.
        images: N of them.
        held_out: number of images in the test root, the last ones.
        tested: lines of test: only these are of images in the test root, which may have equal names; None: the table
            has no splits.
    """
    if not held_out or tested is None:
        name, found = match_files(table, named, images, first=False)
        return name, found.lines, [found.way]
    name, found = match_files(table, named, images[:-held_out], first=False, among=table.rows.keys() - tested)
    _, more = match_files(table, name, images[-held_out:], first=False, among=tested)
    return name, found.lines + more.lines, [found.way, more.way]


def _certain(
    cells: Mapping[int, str], images: Sequence[Image], lines: list[list[int]], slips: Slips
) -> list[list[int]]:
    """Return the lines of each image without lines that fit several images; these and rows of no image are slips."""
    used = {line for at in lines for line in at}
    if not used:
        raise UserError(
            f"no row of {shown(slips.file)} is of an image: the first says '{next(iter(cells.values()))[:60]}', the "
            f"first image is {as_text(images[0].name)}; write dataset.file_column=NAME for the column of file names, "
            "or dataset.root=DIR for the folder that they are relative to"
        )
    for line in sorted(cells.keys() - used):
        slips.add(Slip.ABSENT, at_line(cells[line], line))
    unclear = of_several(lines)
    for line, found in unclear.items():
        slips.add(Slip.SEVERAL, f"{at_line(cells[line], line)}: {few(as_text(images[i].name) for i in found[:2])}")
    return [[line for line in at if line not in unclear] for at in lines]


def _in_one_split(entries: list[Entry], groups: Mapping[str, str], slips: Slips) -> list[Entry]:
    """Return the images, without those of a group that another split keeps."""
    places: dict[str, set[str]] = {}
    for name, _, split in entries:
        if name in groups:
            places.setdefault(groups[name], set()).add(split)
    torn = {group: [split for split in KEEPS if split in at] for group, at in places.items() if len(at) > 1}
    for group, at in torn.items():
        slips.add(Slip.GROUP, f"{group} ({', '.join(at)})")
    keeps = {group: at[0] for group, at in torn.items()}
    return [entry for entry in entries if keeps.get(groups.get(entry[0]), entry[2]) == entry[2]]


def _alike(classes: set[str]) -> str:
    """Return a note on classes that differ in capitals only, perhaps by mistake."""
    written: dict[str, list[str]] = {}
    for name in sorted(classes):
        written.setdefault(name.casefold(), []).append(name)
    pairs = [" and ".join(names) for names in written.values() if len(names) > 1]
    return f"classes that differ in capitals only: {few(pairs)}" if pairs else ""
