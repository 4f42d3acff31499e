"""Numeric targets of the user's own images, from a table: one row an image, one column a target."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ssl_cli.data.images.files.cache import shown
from ssl_cli.data.images.files.columns import match_files
from ssl_cli.data.images.files.names import as_text, few
from ssl_cli.data.images.files.rows import Image, Match, of_several, plain
from ssl_cli.data.images.files.table import read_table
from ssl_cli.errors import UserError


@dataclass(frozen=True)
class Targets:
    """Numeric targets from a table."""

    values: dict[str, Tensor]  # column -> [N] float64, NaN if not known
    note: str  # for the user: the columns, and what was left out


def read_targets(
    file: Path, images: Sequence[Image], columns: Sequence[str] | None = None, file_column: str | None = None
) -> Targets:
    """Read numeric targets and put them in the order of the images.

    Args:
        file: a table, see `table.read_table`. An empty cell is a target that is not known.
        images: N of them, found in the table by `rows.match`; rows of other files are left out.
        columns: the targets; None: every column with numbers in more than half of the cells that are not empty.
        file_column: the column of file names; None: the first, or one with a usual name that has more of the images.

    Raises:
        UserError: the file cannot be read, lacks a column or an image, names an image twice, or has a cell without a
            number in a column of numbers; the message has the line.
    """
    table = read_table(file, "dataset.targets", "file,age")
    table.check(*(columns or []))
    names, found = match_files(table, file_column, images, first=True)
    lines = _lines_of(file, images, table.cells(names), found)
    values, texts = {}, []
    for column in columns or [name for name in table.header if name and name != names]:
        every = table.cells(column)
        cells = {line: every[line] for line in lines}
        filled = [cell for cell in cells.values() if cell]
        wrong = [cell for cell in filled if not math.isfinite(_parsed(cell))]
        if not columns and len(wrong) >= len(filled) / 2:  # in a column of mostly numbers, a text is a mistake
            texts.append(f"{column} ('{wrong[0][:20]}')" if wrong else f"{column} (empty)")
            continue
        numbers = [_number(file, line, column, cell) for line, cell in cells.items()]
        values[column] = torch.tensor(numbers, dtype=torch.float64)
    if not values:
        raise UserError(
            f"{shown(file)} has no column of numbers beside '{names}': {few(texts)}; a number has a decimal "
            "point, as in 3.5"
        )
    notes = [f"targets of {shown(file.name)}: {few(values)}"]
    notes += [f"columns left out, because most of their cells are not numbers: {few(texts)}"] if texts else []
    notes += [f"names read {found.way}"] if found.way else []
    notes += [f"{len(table.rows) - len(lines)} rows of other files"] if len(table.rows) > len(lines) else []
    return Targets(values, "; ".join(notes))


def _lines_of(file: Path, images: Sequence[Image], cells: Mapping[int, str], found: Match) -> list[int]:
    """Return the line of each image, found by the names in the cells."""
    lines: dict[str, int] = {}
    for line, cell in cells.items():
        if (name := plain(cell)) in lines:
            raise UserError(f"{shown(file)} names {name} twice: in lines {lines[name]} and {line}; leave one")
        lines[name] = line
    for line, (first, second, *_) in of_several(found.lines).items():
        raise UserError(
            f"line {line} of {shown(file)} fits two images, {ascii(as_text(images[first].name))} and "
            f"{ascii(as_text(images[second].name))}; write a row for each as it is named here, or rename one"
        )
    if missing := [as_text(image.name) for image, at in zip(images, found.lines, strict=True) if not at]:
        raise UserError(
            f"{shown(file)} has no row for {len(missing)} of {len(images)} images, the first: {missing[0]}; "
            f"names are relative to dataset.root (its first row says {next(iter(lines))}); for an unknown target leave "
            "the cell empty"
        )
    for image, (first, *others) in zip(images, found.lines, strict=True):
        if others:
            name = as_text(image.name)
            raise UserError(f"{shown(file)} names {name} twice: in lines {first} and {others[0]}; leave one")
    return [at[0] for at in found.lines]


def _parsed(text: str) -> float:
    try:
        return math.nan if "_" in text else float(text)  # Python reads 2024_01 as 202401
    except ValueError:
        return math.nan


def _number(file: Path, line: int, column: str, text: str) -> float:
    if not text:
        return math.nan
    value = _parsed(text)
    if not math.isfinite(value):
        raise UserError(
            f"line {line} of {shown(file)}: {column} is '{text}', not a number (which has a decimal point); leave it "
            "empty if it is not known, or name the columns that are meant: dataset.target_columns=[NAME]"
        )
    return value
