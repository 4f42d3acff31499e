"""Numeric targets of the user's own images, from a CSV file: one row an image, one column a target."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path, PurePath

import torch
from torch import Tensor

from ssl_cli.data.images.files.cache import shown
from ssl_cli.errors import UserError, did_you_mean


def read_targets(
    file: Path, names: Sequence[str], columns: Sequence[str] | None = None, file_column: str | None = None
) -> dict[str, Tensor]:
    """Read numeric targets and put them in the order of the images.

    Args:
        file: comma-separated, UTF-8, with a header. An empty cell is a target that is not known.
        names: N file names of images, relative to the folder; rows of other files are left out.
        columns: the targets; None: every column in which more than half of the cells that are not empty are numbers.
        file_column: the column with the file names; None: the first.

    Returns:
        column -> [N] float32, NaN where not known.

    Raises:
        UserError: the file cannot be read, lacks a column or an image, names an image twice, or has a cell that is no
            number in a column of numbers; the message has the line.
    """
    header, rows = _table(file)
    file_column = header[0] if file_column is None else file_column
    for column in [file_column, *(columns or [])]:
        if column not in header:
            raise UserError(
                f"{shown(file)} has no column '{column}'{did_you_mean(column, header)} (it has {', '.join(header)})"
            )
    place = header.index(file_column)
    lines: dict[str, int] = {}
    for number, row in rows.items():
        name = PurePath(row[place]).as_posix()
        if name in lines:
            raise UserError(f"{shown(file)} names {name} twice: in lines {lines[name]} and {number}; leave one")
        lines[name] = number
    wanted = [PurePath(name).as_posix() for name in names]
    missing = [name for name in wanted if name not in lines]
    if missing:
        raise UserError(
            f"{shown(file)} has no row for {len(missing)} of {len(names)} images, the first: {shown(missing[0])}; "
            f"names are relative to dataset.root (its first row says {next(iter(lines))}); for an unknown target leave "
            "the cell empty"
        )
    targets: dict[str, Tensor] = {}
    for column in columns or [name for name in header if name != file_column]:
        cells = {lines[name]: rows[lines[name]][header.index(column)] for name in wanted}
        filled = [cell for cell in cells.values() if cell.strip()]
        if not columns and sum(math.isfinite(_parsed(cell)) for cell in filled) <= len(filled) / 2:
            continue  # a column of texts; in one that is nearly all numbers, a text is a slip
        targets[column] = torch.tensor([_number(file, line, column, cell) for line, cell in cells.items()])
    if not targets:
        raise UserError(f"{shown(file)} has no column of numbers beside '{file_column}'; it has {', '.join(header)}")
    return targets


def _table(file: Path) -> tuple[list[str], dict[int, list[str]]]:
    """Return the header and the rows by their line in the file."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            header = [name.strip() for name in next(reader, [])]
            rows = {}
            for row in reader:
                if row:
                    rows[reader.line_num] = row
    except OSError as error:
        raise UserError(f"cannot read dataset.targets={shown(file)}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"dataset.targets={shown(file)} is no comma-separated text in UTF-8: {error}") from error
    if len(header) < 2 or not rows:
        raise UserError(f"dataset.targets={shown(file)} needs a header such as file,age and a row for each image")
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise UserError(f"{shown(file)} has two columns called '{twice}'; rename one")
    for number, row in rows.items():
        if len(row) != len(header):
            raise UserError(f"line {number} of {shown(file)} has {len(row)} cells, the header {len(header)}")
    return header, rows


def _parsed(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _number(file: Path, line: int, column: str, text: str) -> float:
    if not text.strip():
        return math.nan
    value = _parsed(text)
    if not math.isfinite(value):
        raise UserError(
            f"line {line} of {shown(file)}: {column} is '{text}', not a number; leave it empty if it is not known, "
            "or name the columns that are meant: dataset.target_columns=[NAME]"
        )
    return value
