"""Picked inputs as a table that is read back as ``dataset.labels_file``. Imports no torch."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_cli.errors import UserError
from ssl_cli.system.cells import allow_long_cells

HEADER = ("path", "label", "guess", "guess_probability")
ENDINGS = {"csv": ".csv", "label_studio": ".json"}


@dataclass(frozen=True)
class Picked:
    """One input to label."""

    path: str  # relative to the folder of the inputs; of inputs in no file what `Data.called` returns
    guess: str = ""  # the class that a model would give it
    probability: float | None = None


def check_out(out: Path, to: str) -> None:
    """Raise ``UserError`` for an unknown kind of file, another ending, or a file that is there."""
    ending = ENDINGS[to]
    if out.suffix != ending:
        raise UserError(f"out={out} does not end in {ending}, as to={to} has it; write out=FILE{ending}")
    for file in written(out, to):
        if file.exists():
            raise UserError(f"{file} exists; nothing was overwritten: write another out=FILE{ending}")


def written(out: Path, to: str) -> list[Path]:
    """Return every file that is written: the list, the page that shows it, and what a labelling tool needs beside."""
    return [out, out.with_suffix(".html"), *([out.with_suffix(".xml")] if to == "label_studio" else [])]


def as_csv(picked: Sequence[Picked]) -> bytes:
    """Return a header and a row an input, the most wanted first; its label is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEADER)
    writer.writerows([one.path, "", one.guess, one.probability] for one in picked)
    return text.getvalue().encode()


def read_csv(file: Path) -> list[Picked] | None:
    """Return the inputs of a table from `as_csv`, labelled since or not; None where a file is something else."""
    allow_long_cells()
    try:
        rows = list(csv.DictReader(io.StringIO(file.read_bytes().decode("utf-8-sig"), newline="")))
        return [Picked(row["path"], row["guess"], float(row["guess_probability"] or "nan")) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return None
