"""A table (CSV) of the user's images as cells by line, in any dialect: separator, line ends, quotes, BOM."""

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_cli.data.images.files.cache import shown
from ssl_cli.data.images.files.names import few
from ssl_cli.errors import UserError, did_you_mean
from ssl_cli.system.cells import allow_long_cells

SEPARATORS = ",;\t"
_MARKS = {  # first bytes -> the kind of a file that is not a table in UTF-8
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
    b"PK\x03\x04": "a workbook of a spreadsheet or another archive",
    b"\xd0\xcf\x11\xe0": "an old workbook of a spreadsheet",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "compressed by gzip",
}


@dataclass(frozen=True)
class Table:
    """A header and the rows below it."""

    file: Path
    header: list[str]
    rows: dict[int, list[str]]  # line in the file (the last of a row) -> a cell for each column

    def check(self, *columns: str) -> None:
        """Raise ``UserError`` for the first missing column."""
        for column in columns:
            if column not in self.header:
                raise UserError(
                    f"{shown(self.file)} has no column '{column}'{did_you_mean(column, self.header)} "
                    f"(it has {few(self.header)})"
                )

    def cells(self, column: str) -> dict[int, str]:
        """Return the cells of a column by line, without the space around them."""
        at = self.header.index(column)
        return {line: row[at].strip() for line, row in self.rows.items()}


def read_table(file: Path, setting: str, example: str, noun: str = "image", columns: int = 2) -> Table:
    """Read a table in UTF-8, with the separator that gives most columns: a comma, a semicolon or a tab.

    A byte order mark is left out, quoted cells may hold separators and line ends, empty rows and empty columns at the
    right are dropped. A first line ``sep=;`` names the separator.

    Args:
        file: the table.
        setting: the key with the file's name, for errors: ``dataset.targets``.
        example: of a header, for errors: ``file,age``.
        noun: name of a row's input, for errors.
        columns: the least number of columns.

    Raises:
        UserError: the file cannot be read, is in another encoding (named in the message) or not a table, a row and the
            header have different numbers of cells, or two columns have the same name.
    """
    named = f"{setting}={shown(file)}"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {named}: {error.strerror}; write {setting}=FILE.csv") from error
    text = _decoded(content, named)
    allow_long_cells()
    said = re.match(r"sep=(.)\r?\n", text)  # as spreadsheets write it
    try:
        tables = [_separated(text[said.end() if said else 0 :], s) for s in (said[1] if said else SEPARATORS)]
    except csv.Error as error:
        raise UserError(f"{named} is not a table: {error}") from error
    header, rows = max(tables, key=lambda table: (_is_even(*table), len(table[0]), _fits(*table)))
    rows = {line + bool(said): row for line, row in rows.items()}
    if len(header) < columns or not rows:
        raise UserError(
            f"{named} needs a header such as {example} and a row for each {noun}, separated by commas, semicolons or "
            "tabs"
        )
    for name in filter(None, header):
        if header.count(name) > 1:
            raise UserError(f"{shown(file)} has two columns called '{name}'; rename one")
    for line, row in rows.items():
        if len(row) != len(header):
            raise UserError(f"line {line} of {shown(file)} has {len(row)} cells, the header {len(header)}")
    return Table(file, header, rows)


def _separated(text: str, separator: str) -> tuple[list[str], dict[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header = [name.strip() for name in next((row for row in reader if any(map(str.strip, row))), [])]
    if not header:
        return header, {}
    rows = {reader.line_num: row for row in reader if any(map(str.strip, row))}  # noqa: B035 (it counts)
    width = max(len(header), *map(len, rows.values())) if rows else len(header)
    while width and not any(row[width - 1].strip() for row in (header, *rows.values()) if len(row) >= width):
        width -= 1  # spreadsheets write empty columns, too
    return header[:width], {line: row[:width] for line, row in rows.items()}


def _is_even(header: Sequence[str], rows: dict[int, list[str]]) -> bool:
    return len(header) > 1 and _fits(header, rows)


def _fits(header: Sequence[str], rows: dict[int, list[str]]) -> bool:
    return all(len(row) == len(header) for row in rows.values())


def _decoded(content: bytes, named: str) -> str:
    """Return the text of a table; raise ``UserError`` that names the kind of any other file."""
    what = next((what for mark, what in _MARKS.items() if content.startswith(mark)), None)
    if what is None and b"\0" in content[:1024]:
        what = "UTF-16" if content[:2].count(b"\0") == 1 else "a binary file"
    if what is not None:
        raise UserError(f"{named} is {what}, not a table in UTF-8; {_remedy('UTF-16' if what == 'UTF-16' else None)}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].split(b"\n")
        read = (before[-1] + content[error.start :].split(b"\n")[0]).decode("cp1252", "replace").strip()
        raise UserError(
            f"{named} is not in UTF-8 (byte {content[error.start]:02X} in line {len(before)}), perhaps in "
            f"Windows-1252, in which that line is '{read[:60]}'; {_remedy('WINDOWS-1252')}"
        ) from error


def _remedy(encoding: str | None) -> str:
    converter = f", or convert it: iconv -f {encoding} -t UTF-8" if encoding else ""
    return f"save it as CSV in UTF-8{converter}"
