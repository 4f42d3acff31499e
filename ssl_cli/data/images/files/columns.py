"""The columns of a table: those that the user names, or those with a usual name."""

import re
from collections.abc import Collection, Mapping, Sequence

from ssl_cli.config.words import word
from ssl_cli.data.images.files.cache import shown
from ssl_cli.data.images.files.names import few
from ssl_cli.data.images.files.rows import Image, Match, match
from ssl_cli.data.images.files.table import Table
from ssl_cli.errors import UserError

USUAL = {  # in small letters and digits; earlier names come first
    "file": "file filename filepath path image imagename imagepath imagefile imageid img imgname imgpath imgid name id",
    "label": "label labels class classname classlabel category categoryname target y choice",
    "text": "text texts sentence content document body review message comment abstract description title",
    "split": "split set subset partition",
    "group": "group groupid patient patientid subject subjectid participant participantid case caseid video videoid "
    "site siteid",
}
NONE = "none"  # the user writes this to ignore a column with a usual name


def usual(table: Table, kind: str) -> list[str]:
    """Return the columns with a usual name for ``file``, ``label``, ``split`` or ``group``."""
    names = USUAL[kind].split()
    found = {column: re.sub(r"[\W_]+", "", column.lower()) for column in table.header}
    return sorted((c for c, name in found.items() if name in names), key=lambda column: names.index(found[column]))


def match_files(
    table: Table, named: str | None, images: Sequence[Image], first: bool, among: Collection[int] | None = None
) -> tuple[str, Match]:
    """Return the column of the images' file names, and the rows of each image.

    Args:
        table: with one row an image.
        named: the column that the user names; None: of the first column and those with a usual name, the one that
            gives most images a row.
        images: N of them.
        first: whether to take the first of equally good columns.
        among: lines that count; None: all.

    Raises:
        UserError: there is no column of that name.
    """
    if named is not None:
        table.check(named)
        return named, match(_some(table.cells(named), among), images)
    columns = [*usual(table, "file"), table.header[0]]
    columns = [table.header[0], *columns] if first else columns
    found = {column: match(_some(table.cells(column), among), images) for column in dict.fromkeys(columns)}
    return max(found.items(), key=lambda item: item[1].found)


def column(table: Table, kind: str, named: str | None, needed: bool, taken: Sequence[str] = ()) -> str | None:
    """Return the column of labels, splits or groups, or None if there is none.

    Args:
        table: with one row an image.
        kind: ``label``, ``split`` or ``group``.
        named: by the user; None: the column with a usual name; ``none``, if no column has this name: no column.
        needed: whether there must be one.
        taken: columns with another meaning.

    Raises:
        UserError: there is no column of that name, several have a usual one, or a needed one is not found.
    """
    key = f"dataset.{kind}_column"
    if named is not None and (named in table.header or needed or named != NONE):
        table.check(named)
        return named
    found = [] if named == NONE else [name for name in usual(table, kind) if name not in taken]
    if len(found) > 1:
        other = "" if needed else f", or {key}={NONE}"
        raise UserError(f"{shown(table.file)} has the columns {few(found)}; write {word(key, found[0])}{other}")
    if needed and not found:
        raise UserError(
            f"{shown(table.file)} has no column of {kind}s by a usual name ({few(USUAL[kind].split())}); write "
            f"{key}=NAME (it has {few(table.header)})"
        )
    return found[0] if found else None


def _some(cells: Mapping[int, str], among: Collection[int] | None) -> Mapping[int, str]:
    return cells if among is None else {line: cell for line, cell in cells.items() if line in among}
