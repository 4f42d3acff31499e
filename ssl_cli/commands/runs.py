"""``ssl runs``: the runs there are, newest first."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ssl_cli.errors import UserError
from ssl_cli.runs import find_runs

HELP = """\
usage: ssl runs [DIR] [-n N] [--to json]

  DIR          where to look; default outputs
  -n N         only the newest N
  --to json    one JSON list, for other programs

Each run with its date, method, data set, labels, seed, state, score on test (of the linear probe, with the most labels;
else of its own classifier, else of kNN), best kNN on val, and where it is. The state is that of summary.json: running,
finished, interrupted, failed; or collapsed, where a finished run's embedding had collapsed, and killed, where a running
run's process is gone (for one of another machine: the time since its last sign of life).

ckpt=last, init=last and resume=last mean the first in this list that has a checkpoint; ckpt=best and init=best the
best.pt of the run with the highest kNN on val, among those on the same images, splits and labels as the latest.
"""
QUIET = 120  # seconds without a sign of life after which a running run is said to be silent

LABELLED = ("labels", "seed", "test", "val kNN")  # what says nothing without its name


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; usage: ssl runs [DIR] [-n N] [--to json]")


def main(args: Sequence[str]) -> int:
    """Print the table. Returns the exit status."""
    parser = _Parser(prog="ssl runs", add_help=False)
    parser.add_argument("directory", nargs="?", type=Path, default=Path("outputs"), metavar="DIR")
    parser.add_argument("-n", type=int, default=None, metavar="N")
    parser.add_argument("--to", choices=["json"])
    options = parser.parse_args(args)
    if not options.directory.is_dir():
        raise UserError(
            f"there is no directory {options.directory}; write the one that holds the runs, or train one first"
        )
    if options.n is not None and options.n < 1:
        raise UserError(f"-n {options.n} is not at least 1")
    found = find_runs(options.directory)[: options.n]
    if options.to == "json":
        print(json.dumps(found, indent=2))
        return 0
    if not found:
        print(f"no run below {options.directory}; train one: ssl train method=simclr")
        return 0
    show(found)
    return 0


def show(records: list[dict[str, Any]]) -> None:
    """Print records as a table, each run's path below it where they do not fit beside each other.

    Names from data are never read as markup.
    """
    from rich import box
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=box.SIMPLE_HEAD)
    names = ("date", "method", "data", "labels", "seed", "state", "test", "val kNN", "run")
    for name in names:
        table.add_column(name, no_wrap=True)
    lines = []
    for record in records:
        state, test, knn = record["state"], record["test"], record["val_knn"]
        if record["silent_seconds"] is not None and record["silent_seconds"] > QUIET:
            state += f", silent for {record['silent_seconds'] // 60} min"
        cells = [record["date"], record["method"], record["dataset"], record["labels"], record["seed"], state]
        cells += [test and f"{_shown(test)} {test['probe']}", knn and f"{100 * knn:.1f}", record["run"]]
        cells = ["" if cell is None else str(cell) for cell in cells]
        table.add_row(*map(Text, cells))
        told = [f"{name} {cell}" if name in LABELLED else cell for name, cell in zip(names, cells, strict=True) if cell]
        lines.append("  ".join(told[:-1]) + f"\n  {told[-1]}")
    if Measurement.get(console, console.options.update(width=9999), table).maximum <= console.width:
        console.print(table)
    else:
        console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _shown(row: dict[str, Any]) -> str:
    """Return accuracies in percent; what is no share (an error in pixels) as it is."""
    return f"{100 * row['mean']:.1f}" if 0 <= row["mean"] <= 1 else f"{row['mean']:.3g}"
