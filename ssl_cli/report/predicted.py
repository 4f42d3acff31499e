"""What `ssl predict` has written below a run, as tables."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from ssl_cli.report.page import Cell, Table
from ssl_cli.report.read import by_time
from ssl_cli.runs.catalog import read_json
from ssl_cli.system.cells import allow_long_cells
from ssl_cli.system.names import plain

UNLIKE = 95  # percent of val's inputs that are closer to the training inputs: beyond it, an input is unlike them
CLASSES = 30  # lines of the table of classes


def of_run(path: Path) -> list[Table]:
    """Return a table of all predictions, and one of the classes in the latest; nothing where there is none."""
    files = by_time(file for file in (path / "predicted").glob("*") if file.suffix in (".csv", ".jsonl"))
    counted = [(file, found) for file in files if (found := _Counts(file)).inputs]
    if not counted:
        return []
    head = ["", "inputs", "with a class", "expected right, %", f"unlike > {UNLIKE}, %", "right, %"]
    table = Table(
        "Each file in predicted/.", head, [(plain(file.name, 60), found.cells(file)) for file, found in counted]
    )
    file, latest = counted[-1]
    if not latest.classes:
        return [table]
    rows = [
        (plain(name, 40), [Cell(f"{count:,}"), Cell(f"{100 * latest.sure[name] / count:.1f}")])
        for name, count in latest.classes.most_common(CLASSES)
    ]
    more = len(latest.classes) - len(rows)
    caption = f"The classes in {plain(file.name, 60)}{f'; {more:,} more are not shown' if more else ''}."
    return [table, Table(caption, ["", "inputs", "mean probability, %"], rows)]


class _Counts:
    """What is counted in one file; a torn one gives what can be read."""

    def __init__(self, file: Path):
        self.inputs = self.unlike = self.compared = 0
        self.classes: Counter[str] = Counter()
        self.sure: Counter[str] = Counter()  # sums of the probabilities
        for name, probability, unlike in _rows(file):
            self.inputs += 1
            if unlike is not None:
                self.compared += 1
                self.unlike += unlike > UNLIKE
            if name:
                self.classes[name] += 1
                self.sure[name] += probability

    def cells(self, file: Path) -> list[Cell]:
        """Return the line of the table."""
        decided, right = self.classes.total(), Cell("")
        match read_json(file.with_suffix(".score.json")):
            case {"accuracy": float(share), "interval": [float(low), float(high)], "against": str(against)}:
                how = [f"95 %: {100 * low:.1f} to {100 * high:.1f}", f"by {plain(against, 60)}"]
                right = Cell(f"{100 * share:.1f}", how)
        return [
            Cell(f"{self.inputs:,}"),
            Cell(f"{decided:,}" if decided else ""),
            Cell(f"{100 * sum(self.sure.values()) / decided:.1f}" if decided else ""),
            Cell(f"{100 * self.unlike / self.compared:.1f}" if self.compared else ""),
            right,
        ]


def _rows(file: Path) -> Iterator[tuple[str, float, float | None]]:
    """Yield class ("": none), its probability, and unlikeness of each row, up to the first that is no answer."""
    allow_long_cells()
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = csv.DictReader(stream) if file.suffix == ".csv" else map(json.loads, stream)
            for row in rows:
                if not isinstance(row, Mapping) or not {"path", "error"} <= row.keys():
                    return
                name, unlike = str(row.get("class") or ""), row.get("unlike")
                yield name, float(row["probability"]) if name else 0.0, None if unlike in (None, "") else float(unlike)
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return
