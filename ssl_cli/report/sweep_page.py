"""The report of several runs: their comparison, their curves, and links to their own reports."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ssl_cli.compare.metrics import METRICS
from ssl_cli.compare.table import header, score_text
from ssl_cli.config.words import command
from ssl_cli.errors import UserError
from ssl_cli.report import results
from ssl_cli.report.figures import curves, style
from ssl_cli.report.page import Cell, Table, render_page
from ssl_cli.report.read import RunFiles, read_run, started
from ssl_cli.runs.catalog import find_runs, headline
from ssl_cli.system.names import plain
from ssl_cli.system.terminal import clock

MOST = 200  # runs that are read


def sweep_page(path: Path, directory: Path, tell: Callable[[str], None]) -> str:
    """Draw the figures of the runs below ``path`` into ``directory`` and return their page."""
    found = [Path(record["run"]) for record in find_runs(path)]
    paths = sorted(found, key=lambda run: _job_number(run.relative_to(path)))[:MOST]
    tell(f"{len(paths)} runs")
    runs = [read_run(run) for run in paths]
    names = swept(runs)
    lines = [
        " ".join(word for word in name.split() if not word.startswith("seed=")) or run.method
        for name, run in zip(names, runs, strict=True)
    ]
    tell("curves")
    with style.styled():
        drawn = [
            curves.several(runs, lines, directory, "validation"),
            curves.efficiency(results.efficiency_lines(_alike(runs)), directory, "Over runs: mean and deviation."),
            curves.several(runs, lines, directory, "loss"),
        ]
    title = f"{len(runs)} runs of {', '.join(dict.fromkeys(run.dataset for run in runs))}"
    finished = sum(run.state in ("finished", "collapsed") for run in runs)
    seconds = sum(run.summary.get("seconds") or 0 for run in runs)
    pairs = [
        ("directory", path.name),
        ("started", min(map(started, runs))),
        ("finished", f"{finished} of {len(runs)}"),
        ("total training time", clock(seconds) if seconds else None),
    ]
    compared, why_not = _comparison(path)
    return render_page(
        "sweep.html",
        title,
        pairs=pairs,
        head_notes=[f"Only the first {MOST} of {len(found)} runs are shown."] if len(found) > MOST else [],
        compared=compared,
        comparison_notes=why_not,
        curves=drawn,
        runs=_table(runs, names, directory),
        run_notes=_without_report(runs) + _failed(runs, names),
        commands=list(dict.fromkeys(run.env["command"] for run in runs if run.env.get("command"))),
    )


def swept(runs: Sequence[RunFiles]) -> list[str]:
    """Return for each run the overrides that not all runs share; else the name of its directory."""
    each = [list(map(str, run.summary.get("overrides", []))) for run in runs]
    common = set.intersection(*map(set, each)) if len(each) > 1 else set()
    own = [" ".join(item for item in items if item not in common) for items in each]
    return [name or run.path.name for name, run in zip(own, runs, strict=True)]


def _comparison(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return what `ssl compare` shows of the runs; of those that cannot be compared, why."""
    from ssl_cli.compare.comparison import compare
    from ssl_cli.compare.formats.html import html_parts

    try:
        return html_parts(compare([path])), []
    except UserError as error:  # unlike rows, or nothing measured yet
        return {}, [f"No comparison: {error}"]


def _alike(runs: Sequence[RunFiles]) -> list[RunFiles]:
    """Return the runs whose splits are those of the first that was measured: others' test inputs are not the same."""
    measured = [run for run in runs if run.results]
    return [run for run in measured if run.summary.get("splits") == measured[0].summary.get("splits")]


def _table(runs: Sequence[RunFiles], names: Sequence[str], directory: Path) -> Table:
    rows = []
    for run, name in zip(runs, names, strict=True):
        row = headline(run.summary)
        knn = run.summary.get("best_val_knn")
        seconds = run.summary.get("seconds")
        report = _report(run)
        link = "../" + "/".join(map(quote, report.relative_to(directory.parent).parts))
        cells = [
            Cell(run.state),
            Cell(score_text(row), [_headline_name(row)]) if row else Cell(),
            Cell("" if knn is None else f"{100 * knn:.1f}"),
            Cell(clock(seconds) if seconds else ""),
            Cell("report", link=link) if report.is_file() else Cell(),
        ]
        rows.append((plain(name, 120), cells))
    caption = "Each run: its headline on test, its best kNN accuracy on val in %, and the time of training"
    return Table(caption, ["", "state", "test", "val kNN", "time", ""], rows)


def _report(run: RunFiles) -> Path:
    return run.path / "report" / "index.html"


def _without_report(runs: Sequence[RunFiles]) -> list[str]:
    without = [run for run in runs if not _report(run).is_file()]
    hint = "{} of {} runs have no report of their own. To write one: {}"
    return [hint.format(len(without), len(runs), command("ssl", "report", without[0].path))] if without else []


def _headline_name(row: dict[str, Any]) -> str:
    head = " ".join(header(row["probe"], row["labels"]).split())
    return head if row["metric"] == "accuracy" else f"{head}, {METRICS.get(row['metric'], row['metric'])}"


def _failed(runs: Sequence[RunFiles], names: Sequence[str]) -> list[str]:
    failed = [(name, run) for run, name in zip(runs, names, strict=True) if run.state == "failed"]
    return [f"{name} failed: {run.summary.get('error', 'for an unknown reason')}" for name, run in failed]


def _job_number(path: Path) -> list[tuple[int, str]]:
    """Return what sorts the jobs of a sweep by their number."""
    heads = [re.match(r"\d+", part) for part in path.parts]
    return [(int(head[0]) if head else -1, part) for head, part in zip(heads, path.parts, strict=True)]
