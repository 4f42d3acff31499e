"""The results of a run as tables, and as lines over the number of labels."""

import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_cli.compare.metrics import LOWER, METRICS, PLAIN, scale_and_digits
from ssl_cli.compare.table import headers, score_text
from ssl_cli.probes.scores.protocol import BASELINES, BEFORE, RAW, column
from ssl_cli.report.page import Cell, Table
from ssl_cli.report.read import REFERENCE, RunFiles
from ssl_cli.runs.catalog import read_json

NAMES = {**RAW, "random": "random weights", BEFORE: "before training"}


def table(rows: Sequence[dict[str, Any]], caption: str) -> Table:
    """Return one line per probe, label budget and protocol, and one column per model, baselines first.

    A line holds one protocol, so what stands beside each other may be compared; the best of a line is bold.
    """
    models = list(dict.fromkeys(row["model"] for row in rows))
    models.sort(key=lambda model: (*BASELINES, model).index(model))
    heads, lines = headers(rows), []
    for key in dict.fromkeys(column(row) for row in rows):
        cells = {row["model"]: row for row in rows if column(row) == key}
        shown = [score_text(row).split(" ± ")[0] for row in cells.values()]
        pick = min if next(iter(cells.values()))["metric"] in LOWER else max
        best = pick(shown, key=float) if len(cells) > 1 else None
        lines.append((" ".join(heads[key].split()), [_cell(cells.get(m), best) for m in models]))
    return Table(caption, ["", *(NAMES.get(model, model) for model in models)], lines)


def caption(rows: Sequence[dict[str, Any]]) -> str:
    """Return what the numbers of a table are."""
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    what = METRICS.get(metrics[0], metrics[0]) if len(metrics) == 1 else "Scores"
    unit = ", %" if not any(metric in PLAIN for metric in metrics) else ""
    text = f"{what.capitalize()} on the test split{unit}; ± is the deviation over draws of the labels"
    return text + ("; [low, high] is the 95 % bootstrap interval" if any(row.get("ci") for row in rows) else "")


def more_metrics(rows: Sequence[dict[str, Any]]) -> Table | None:
    """Return a table of the other metrics of the run's own model; None where there are none."""
    own = [row for row in rows if row["model"] not in BASELINES and row.get("metrics")]
    if not own:
        return None
    names = list(dict.fromkeys(name for row in own for name in row["metrics"]))
    heads = headers(own)
    lines = []
    for row in own:
        cells = [
            _cell({**row, "metric": name, **row["metrics"][name]} if name in row["metrics"] else None) for name in names
        ]
        lines.append((" ".join(heads[column(row)].split()), cells))
    return Table("Of the trained model", ["", *(METRICS.get(n, n.replace("_", " ")) for n in names)], lines)


def protocols(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return how each number of the run's own model was made, a line each."""
    heads, lines = headers(rows), []
    for row in rows:
        if row["model"] not in BASELINES:
            name = " ".join(heads[column(row)].split())
            settings = ", ".join(f"{key}={value}" for key, value in row.get("settings", {}).items())
            draws = f"{row['n']} draws of the labels" if row["n"] > 1 else "measured once"
            lines.append(f"{name}: {draws}; {settings}; protocol {row.get('protocol', 'unnamed')}")
    return lines


def efficiency_lines(
    runs: Sequence[RunFiles], own: RunFiles | None = None
) -> dict[str, list[tuple[int, float, float | None]]]:
    """Return accuracy over the number of labels, of the baselines, each method's linear probe and own classifier.

    Args:
        runs: on the same inputs and splits.
        own: the run of the page, if it is one; of the others only their own classifiers are taken.

    Returns:
        name -> points (labels, mean, deviation). Over several runs of a method mean and deviation are over the runs; of
        one, the deviation is over draws of the labels.
    """
    found: dict[str, dict[int, list[dict]]] = {NAMES[model]: {} for model in BASELINES}
    for run in runs:
        for row in run.results:
            count = row.get("settings", {}).get("train_images")
            if row.get("target") or not count or row["metric"] in PLAIN:
                continue
            if row["probe"] == "linear" and own in (None, run):
                name = NAMES.get(row["model"], f"linear probe on {row['model']}")
            elif row["probe"] == "classifier":
                name = f"{row['model']}, trained with these labels"
            else:
                continue
            found.setdefault(name, {}).setdefault(count, []).append(row)
    lines = {}
    for name, points in found.items():
        if points:
            lines[name] = [(count, *_over_runs(rows)) for count, rows in sorted(points.items())]
    return lines


def references(run: RunFiles) -> list[Path]:
    """Return the finished supervised runs on the same inputs and splits that stand near a run, to hold it against."""
    dated = next((p for p in run.path.resolve().parents if re.fullmatch(r"\d{4}-\d\d-\d\d", p.name)), None)
    near = [*run.path.resolve().parent.glob("*/summary.json")]
    if dated is not None:
        near += [*dated.parent.glob("*/*/summary.json"), *dated.parent.glob("*/*/*/summary.json")]
    chosen = []
    for file in sorted(set(near)):
        summary = read_json(file) or {}
        same = summary.get("splits") == run.summary.get("splits") and summary.get("state") == "finished"
        if same and summary.get("method") == REFERENCE and file.parent != run.path.resolve():
            chosen.append(file.parent)
    return chosen


def _over_runs(rows: list[dict]) -> tuple[float, float | None]:
    means = [row["mean"] for row in rows]
    return statistics.fmean(means), statistics.stdev(means) if len(means) > 1 else rows[0]["std"]


def _cell(row: dict[str, Any] | None, best: str | None = None) -> Cell:
    """Return a number with its interval; equal to the best as displayed, it is bold."""
    if row is None:
        return Cell()
    scale, digits = scale_and_digits(row["metric"])
    mean, _, deviation = score_text(row).partition(" ± ")
    small = [f"± {deviation}"] if deviation else []
    if interval := row.get("ci"):
        small.append(f"[{scale * interval[0]:.{digits}f}, {scale * interval[1]:.{digits}f}]")
    return Cell(mean, small, best=mean == best)
