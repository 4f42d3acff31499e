"""The runs on disk, and the meaning of ``last`` and ``best``. Imports neither torch nor hydra."""

import json
import math
import platform
import re
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ssl_cli.errors import UserError
from ssl_cli.system.processes import is_alive

LOG_END = 16384  # bytes in which the time of the last line is looked for


def find_runs(root: Path = Path("outputs")) -> list[dict[str, Any]]:
    """Return a plain record of each run at or below ``root``, those of sweeps included, newest first.

    The times are those that a run has written down, so that a copy keeps its place; file times only where it has none.
    ``state`` is that of ``summary.json``, or ``collapsed`` (finished, and the embedding had collapsed), ``killed``
    (running, and its process is gone) or ``unreadable``. ``test`` is the headline, see `headline`.
    """
    signs = ("summary.json", "checkpoints/last.pt")
    runs = {
        root.joinpath(*path.relative_to(root).parts[: -len(Path(sign).parts)])
        for depth in ("", "*/", "*/*/", "*/*/*/")
        for sign in signs
        for path in root.glob(depth + sign)
    }
    records = [(_last_sign(run), str(run), record(run)) for run in runs]
    return [found for _, _, found in sorted(records, key=lambda item: item[:2], reverse=True)]


def find_run(reference: str, setting: str = "ckpt") -> Path:
    """Return the directory or file that a setting means; for ``last`` and ``best`` print the run it chose.

    ``last`` is the run below ``outputs/`` with the latest sign of life (the last line of its log) that has a
    checkpoint. ``best`` is the one with the highest kNN accuracy on val, among those on the same data, splits and
    labels as the latest run that has any.

    Raises:
        UserError: there is no such run, or nothing at that path; the message names the setting.
    """
    if reference not in ("last", "best"):
        path = Path(reference)
        if not path.exists():
            raise UserError(
                f"{setting}={reference} does not exist; write a run directory, a checkpoint file, or {setting}=last"
            )
        return path
    records = [record for record in find_runs() if (Path(record["run"]) / f"checkpoints/{reference}.pt").is_file()]
    if not records:
        raise UserError(
            f"{setting}={reference}: there is no run with a checkpoint below {Path('outputs').resolve()}; "
            "train one first: ssl train method=simclr"
        )
    if reference == "last":
        print(f"{setting}=last: {records[0]['run']} ({_title(records[0])})")
        return Path(records[0]["run"])
    alike = ("dataset", "splits", "labels")
    scored = [record for record in records if record["val_knn"] is not None]
    if not scored:
        raise UserError(f"{setting}=best: no run below outputs has a kNN accuracy on val; write a run directory")
    rivals = [record for record in scored if all(record[key] == scored[0][key] for key in alike)]
    best = max(rivals, key=lambda record: record["val_knn"])
    print(
        f"{setting}=best: {best['run']} ({_title(best)}; val kNN {100 * best['val_knn']:.1f}, the highest of "
        f"{len(rivals)} run{'s' * (len(rivals) > 1)} on the same data and labels), checkpoints/best.pt"
    )
    return Path(best["run"])


def checkpoint_file(reference: str, setting: str = "ckpt") -> Path:
    """Return the checkpoint that a setting means: a file, a run's last one, or that of `find_run`.

    For ``best`` it is the run's ``best.pt``, of which the kNN accuracy is; else ``last.pt``.

    Raises:
        UserError: there is none; the message names the setting.
    """
    path = find_run(reference, setting)
    if path.is_file():
        return path
    file = path / "checkpoints" / ("best.pt" if reference == "best" else "last.pt")
    if not file.is_file():
        raise UserError(f"{setting}={reference} is not a run with a checkpoint: there is no {file}")
    return file


def unused_path(checkpoint: Path, folder: str, name: str, beside: Sequence[str] = ()) -> Path:
    """Return a file that is not there yet, in a folder of the run that a checkpoint is of, or beside a lone one.

    Where ``name`` is in use, also with one of the endings ``beside``, it is ``NAME-2``, ``NAME-3``, ..., with its own.
    """
    file = (run_of(checkpoint) or checkpoint.parent) / folder / name
    stem, end = file.name.removesuffix(file.suffix), file.suffix
    candidates = (file.with_name(f"{stem}{number}{end}") for number in ("", *(f"-{i}" for i in range(2, 1000))))
    return next(f for f in candidates if not any(f.with_suffix(other).exists() for other in (end, *beside)))


def run_of(checkpoint: Path) -> Path | None:
    """Return the directory of the run that a checkpoint is of; None for a lone file."""
    run = checkpoint.parent.parent
    return run if checkpoint.parent.name == "checkpoints" and (run / "config.yaml").is_file() else None


def headline(summary: dict[str, Any]) -> dict[str, Any] | None:
    """Return the row that says most about a run's own model; None where nothing was measured."""
    return most_telling([row for row in summary.get("results", []) if row["model"] == summary.get("method")])


def most_telling(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the row of a linear probe before that of the model's own classifier before kNN, with the most labels."""
    order = ("linear", "classifier", "knn")
    # Rows of a probe come with the most labels first; `min` keeps the first of equals.
    return min(rows, key=lambda row: order.index(row["probe"]) if row["probe"] in order else len(order), default=None)


def run_state(summary: dict[str, Any]) -> str:
    """Return ``state`` of a summary, or ``collapsed``, ``killed`` or ``unreadable``; see `find_runs`."""
    state = summary.get("state", "unreadable")
    if state == "finished" and summary.get("collapsed"):
        return "collapsed"
    return "killed" if state == "running" and _is_gone(summary) else state


def read_json(file: Path) -> dict[str, Any] | None:
    """Return a JSON object, or None for a file that is missing, torn or something else.

    Of rows of results a score that is null was no number; it is NaN again.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    rows = content.get("results")
    for row in rows if isinstance(rows, list) else []:
        _restore_nan(row)
    return content


def _restore_nan(row: Any) -> None:
    """Make NaN of what is null in a row of results, or in one of its metrics, and must be a number."""
    if not isinstance(row, dict):
        return
    if "mean" in row and row["mean"] is None:
        row["mean"] = math.nan
    if isinstance(row.get("ci"), list):
        row["ci"] = [math.nan if end is None else end for end in row["ci"]]
    metrics = row.get("metrics")
    for scores in metrics.values() if isinstance(metrics, dict) else ():
        _restore_nan(scores)


def record(run: Path) -> dict[str, Any]:
    """Return what `find_runs` says of one run."""
    summary = read_json(run / "summary.json") or {}
    state, row = run_state(summary), headline(summary)
    return {
        "date": time.strftime("%Y-%m-%d %H:%M", time.localtime(_start(run))),
        "method": summary.get("method", ""),
        "dataset": summary.get("dataset", ""),
        "labels": summary.get("labels", ""),
        "splits": summary.get("splits", ""),
        "seed": summary.get("seed"),
        "state": state,
        "silent_seconds": round(time.time() - _last_sign(run)) if state == "running" else None,
        "val_knn": summary.get("best_val_knn"),
        "test": row and {key: row.get(key) for key in ("probe", "labels", "metric", "mean")},
        "run": str(run),
    }


def _start(run: Path) -> float:
    """Return when a run began, in seconds since 1970."""
    began = _began(run)
    if began is not None:
        return began.timestamp()
    files = (run / "config.yaml", run / "summary.json", run / "checkpoints")
    return next(file for file in files if file.exists()).stat().st_mtime


def _last_sign(run: Path) -> float:
    """Return when a run last gave a sign of life, in seconds since 1970."""
    began = _began(run)
    try:
        with (run / "train.log").open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - LOG_END))
            logged = re.findall(rb"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)  ", file.read(), re.MULTILINE)
        last = datetime.strptime(logged[-1].decode(), "%Y-%m-%d %H:%M:%S")
        return last.replace(tzinfo=began and began.tzinfo).timestamp()  # the zone of the machine that wrote it
    except (OSError, IndexError, ValueError, OverflowError):
        if began is not None:
            return began.timestamp()
    files = (run / name for name in ("summary.json", "metrics.jsonl", "train.log", "checkpoints/last.pt"))
    return max(file.stat().st_mtime for file in files if file.is_file())


def _began(run: Path) -> datetime | None:
    try:
        return datetime.strptime((read_json(run / "env.json") or {})["started"], "%Y-%m-%dT%H:%M:%S%z")
    except (KeyError, TypeError, ValueError):
        return None


def _is_gone(summary: dict[str, Any]) -> bool:
    """Return whether the process of a running run has ended without a word; only its own machine knows."""
    pid = summary.get("pid")
    return isinstance(pid, int) and summary.get("host") == platform.node() and not is_alive(pid)


def _title(record: dict[str, Any]) -> str:
    return f"{record['method'] or 'unknown method'} on {record['dataset'] or 'unknown data'}, {record['state']}"


def is_run(path: Path) -> bool:
    """Return whether a directory is one run."""
    return (path / "config.yaml").is_file() or (path / "summary.json").is_file()
