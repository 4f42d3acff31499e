"""Numeric targets of the user's own images, from a table: one row an image, one column a target."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import torch
from torch import Tensor

from ssl_cli.data.images.files.cache import shown
from ssl_cli.data.images.files.names import as_text, composed, few
from ssl_cli.errors import UserError, did_you_mean

SEPARATORS = ",;\t"


@dataclass(frozen=True)
class Targets:
    """What was found in a table."""

    values: dict[str, Tensor]  # column -> [N] float64, NaN where not known
    note: str  # for the user: which columns these are, and what was left out


def read_targets(
    file: Path, names: Sequence[str], columns: Sequence[str] | None = None, file_column: str | None = None
) -> Targets:
    """Read numeric targets and put them in the order of the images.

    Args:
        file: UTF-8, with a header; separated by commas, semicolons or tabs. An empty cell is a target that is not
            known.
        names: N file names of images, relative to the folder; rows of other files are left out. In the table they may
            stand as they are, or as `names.as_text` writes them.
        columns: the targets; None: every column in which more than half of the cells that are not empty are numbers.
        file_column: the column with the file names; None: the first.

    Raises:
        UserError: the file cannot be read, lacks a column or an image, names an image twice, or has a cell that is no
            number in a column of numbers; the message has the line.
    """
    header, rows = _table(file)
    file_column = header[0] if file_column is None else file_column
    for column in [file_column, *(columns or [])]:
        if column not in header:
            raise UserError(
                f"{shown(file)} has no column '{column}'{did_you_mean(column, header)} (it has {few(header)})"
            )
    lines = _lines_of(file, names, {n: row[header.index(file_column)] for n, row in rows.items()})
    values, texts = {}, []
    for column in columns or [name for name in header if name != file_column]:
        cells = {line: rows[line][header.index(column)].strip() for line in lines}
        filled = [cell for cell in cells.values() if cell]
        wrong = [cell for cell in filled if not math.isfinite(_parsed(cell))]
        if not columns and len(wrong) >= len(filled) / 2:  # in a column that is nearly all numbers, a text is a slip
            texts.append(f"{column} ('{wrong[0][:20]}')" if wrong else f"{column} (empty)")
            continue
        numbers = [_number(file, line, column, cell) for line, cell in cells.items()]
        values[column] = torch.tensor(numbers, dtype=torch.float64)
    if not values:
        raise UserError(
            f"{shown(file)} has no column of numbers beside '{file_column}': {few(texts)}; a number has a decimal "
            "point, as in 3.5"
        )
    notes = [f"targets of {shown(file.name)}: {few(values)}"]
    notes += [f"columns left out, most of whose cells are no numbers: {few(texts)}"] if texts else []
    notes += [f"{len(rows) - len(lines)} rows of other files"] if len(rows) > len(lines) else []
    return Targets(values, "; ".join(notes))


def _lines_of(file: Path, names: Sequence[str], cells: dict[int, str]) -> list[int]:
    """Return the line of each image, whose names stand in the cells."""
    lines: dict[str, int] = {}
    for number, cell in cells.items():
        name = PurePath(cell).as_posix()
        if name in lines:
            raise UserError(f"{shown(file)} names {name} twice: in lines {lines[name]} and {number}; leave one")
        lines[name] = number
    alike: dict[str, list[int]] = {}  # Unicode writes a name in several ways, and other systems choose another
    for name, number in lines.items():
        alike.setdefault(composed(name), []).append(number)
    found: dict[int, str] = {}
    missing = []
    for name in (PurePath(name).as_posix() for name in names):
        text = as_text(name)
        others = alike.get(composed(text), [])
        line = lines.get(text, lines.get(name, others[0] if len(others) == 1 else None))
        if line is None:
            missing.append(text)
        elif line in found:
            raise UserError(
                f"line {line} of {shown(file)} fits two images, {ascii(found[line])} and {ascii(text)}; write a row "
                "for each as it is named here, or rename one"
            )
        else:
            found[line] = text
    if missing:
        raise UserError(
            f"{shown(file)} has no row for {len(missing)} of {len(names)} images, the first: {missing[0]}; "
            f"names are relative to dataset.root (its first row says {next(iter(lines))}); for an unknown target leave "
            "the cell empty"
        )
    return list(found)


def _table(file: Path) -> tuple[list[str], dict[int, list[str]]]:
    """Return the header and the rows by their line in the file, by the separator that makes most columns of it."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
        tables = [_separated(text, separator) for separator in SEPARATORS]
    except OSError as error:
        raise UserError(f"cannot read dataset.targets={shown(file)}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"dataset.targets={shown(file)} is no table in UTF-8: {error}") from error
    header, rows = max(tables, key=lambda table: (_is_even(*table), len(table[0])))
    if len(header) < 2 or not rows:
        raise UserError(
            f"dataset.targets={shown(file)} needs a header such as file,age and a row for each image, separated by "
            "commas, semicolons or tabs"
        )
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise UserError(f"{shown(file)} has two columns called '{twice}'; rename one")
    for number, row in rows.items():
        if len(row) != len(header):
            raise UserError(f"line {number} of {shown(file)} has {len(row)} cells, the header {len(header)}")
    return header, rows


def _separated(text: str, separator: str) -> tuple[list[str], dict[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header = [name.strip() for name in next(reader, [])]
    return header, {reader.line_num: row for row in reader if any(map(str.strip, row))}  # noqa: B035 (it counts)


def _is_even(header: list[str], rows: dict[int, list[str]]) -> bool:
    return len(header) > 1 and all(len(row) == len(header) for row in rows.values())


def _parsed(text: str) -> float:
    try:
        return math.nan if "_" in text else float(text)  # Python takes 2024_01 for 202401
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
