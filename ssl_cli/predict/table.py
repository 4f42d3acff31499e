"""Rows of answers, and the kinds of files that they are written to, a few at a time. Imports no torch."""

import csv
import importlib.util
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from ssl_cli.errors import UserError
from ssl_cli.system.atomic import replacing

ROWS = 10_000  # that are held at a time
CLASS = ("class", "probability", "second", "second_probability")
TEXTS = ("path", "class", "second", "guess", "error")
Row = Sequence[Any]


def columns(classes: bool, targets: Sequence[str], guess: bool = False) -> list[str]:
    """Return the columns of a table: those of classes only where there are some.

    Args:
        classes: whether inputs get a class.
        targets: names of the numbers that are predicted; one that another column has gets ``target_`` in front.
        guess: whether a column keeps the class of inputs that are left to a person.
    """
    first, last = ["path", *(CLASS if classes else ()), "unlike"], ["guess"] * guess + ["error"]
    taken = {*first, *last, "guess"}
    return [*first, *(f"target_{name}" if name in taken else name for name in targets), *last]


def check_out(out: Path) -> None:
    """Raise ``UserError`` for a file that is there, of no known kind, or of a kind that needs a missing package."""
    if out.suffix not in WRITERS:
        raise UserError(f"out={out} has no known ending; write one of {', '.join(f'out=FILE{s}' for s in WRITERS)}")
    if out.exists():
        raise UserError(f"{out} exists; nothing was overwritten: write another out=FILE{out.suffix}")
    if out.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError("a .parquet file needs pyarrow: pip install 'ssl-cli[parquet]', or write out=FILE.csv")


def write(out: Path, header: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a new file of the kind that its ending says, whole or not at all; nothing is overwritten."""
    check_out(out)  # once more: computing took its time
    with replacing(out) as stream:
        WRITERS[out.suffix](stream, header, rows)


def _csv(stream: BinaryIO, header: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a header and a row an input; what is not known is an empty cell."""
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    text.flush()
    text.detach()


def _jsonl(stream: BinaryIO, header: Sequence[str], rows: Iterable[Row]) -> None:
    """Write an object a line, with every column; what is not known is null."""
    for row in rows:
        stream.write(f"{json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False)}\n".encode())


def _parquet(stream: BinaryIO, header: Sequence[str], rows: Iterable[Row]) -> None:
    """Write typed columns: texts and doubles."""
    import pyarrow
    import pyarrow.parquet

    kinds = {name: pyarrow.string() if name in TEXTS else pyarrow.float64() for name in header}
    with pyarrow.parquet.ParquetWriter(stream, pyarrow.schema(list(kinds.items()))) as writer:
        for some in _in_chunks(rows):
            values = zip(kinds.values(), zip(*some, strict=True), strict=True)
            writer.write_table(pyarrow.table([pyarrow.array(v, kind) for kind, v in values], schema=writer.schema))


def _in_chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while some := list(islice(iterator, ROWS)):
        yield some


WRITERS: dict[str, Callable[[BinaryIO, Sequence[str], Iterable[Row]], None]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".jsonl": _jsonl,
}
