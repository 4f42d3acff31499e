"""``ssl runs``: the runs there are, newest first."""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ssl_cli.errors import UserError

HELP = """\
usage: ssl runs [DIR] [-n N] [--to json]

  DIR          where to look; default outputs
  -n N         only the newest N
  --to json    one JSON list, for other programs

Each run with its date, method, data set, labels, state, best kNN on val, and where it is. The state is that of
summary.json: running, finished, interrupted, failed; or collapsed, where a finished run's embedding had collapsed. A
run that was killed says running, with the time since its last sign of life.
"""
QUIET = 120  # seconds without a sign of life after which a running run is said to be silent


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


def find_runs(root: Path) -> list[dict[str, Any]]:
    """Return a plain record of each run below ``root``, those of sweeps included, newest first."""
    files = {
        *root.glob("summary.json"),
        *(f for depth in ("*", "*/*", "*/*/*") for f in root.glob(f"{depth}/summary.json")),
    }
    records = []
    for file in files:
        try:
            summary = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):
            summary = {}
        run = file.parent
        last_sign = max(f.stat().st_mtime for f in (file, run / "metrics.jsonl", run / "train.log") if f.is_file())
        state = summary.get("state", "unreadable")
        if state == "finished" and summary.get("collapsed"):
            state = "collapsed"
        started = (run / "config.yaml") if (run / "config.yaml").is_file() else file
        records.append(
            {
                "date": time.strftime("%Y-%m-%d %H:%M", time.localtime(started.stat().st_mtime)),
                "method": summary.get("method", ""),
                "dataset": summary.get("dataset", ""),
                "labels": summary.get("labels", ""),
                "seed": summary.get("seed"),
                "state": state,
                "silent_seconds": round(time.time() - last_sign) if state == "running" else None,
                "val_knn": summary.get("best_val_knn"),
                "run": str(run),
                "_changed": last_sign,
            }
        )
    records.sort(key=lambda record: (record.pop("_changed"), record["run"]), reverse=True)
    return records


def show(records: list[dict[str, Any]]) -> None:
    """Print records as a table; names from data are never read as markup."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table("date", "method", "data", "labels", "state", "val kNN", "run", box=box.SIMPLE_HEAD)
    table.columns[-1].overflow = "fold"
    for record in records:
        state = record["state"]
        if record["silent_seconds"] is not None and record["silent_seconds"] > QUIET:
            state += f", silent for {record['silent_seconds'] // 60} min"
        knn = "" if record["val_knn"] is None else f"{100 * record['val_knn']:.1f}"
        cells = (record["date"], record["method"], record["dataset"], record["labels"], state, knn, record["run"])
        table.add_row(*(Text(str(cell)) for cell in cells))
    console.print(table)
