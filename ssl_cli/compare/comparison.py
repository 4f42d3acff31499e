"""Runs beside each other: what they scored, and which differences are larger than noise."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl_cli.compare import alike
from ssl_cli.compare.differences import Predictions, difference
from ssl_cli.compare.entries import collect
from ssl_cli.compare.groups import OVER, Cell, Column, Group, Key, Row, column, grouped, run_of, value
from ssl_cli.compare.intervals import Interval
from ssl_cli.data.budget import parse_budget
from ssl_cli.errors import UserError, did_you_mean

LOWER = ("mae", "rmse", "ece", "fpr_at_95_tpr")  # metrics of which less is better


@dataclass
class Score:
    """One cell: a group of runs, measured one way."""

    mean: float
    std: float | None  # over runs; where no line has several, over draws of the labels
    n: int  # runs
    draws: int  # of the labels, in each run
    difference: float | None = None  # to the line that all are compared with
    interval: Interval | None = None  # of the difference
    kinds: tuple[str, ...] = ()  # what it covers: "runs", "draws", "images"

    @property
    def within_noise(self) -> bool | None:
        """Whether the interval of the difference holds 0; None without one."""
        return None if self.interval is None else self.interval[0] <= 0 <= self.interval[1]


@dataclass
class Line:
    """One line of the table."""

    name: str
    baseline: bool
    runs: list[str]  # directories
    scores: dict[Column, Score]
    seconds: float | None  # of training, mean of the runs
    images_seen: float | None
    collapsed: int  # runs whose embedding had


@dataclass
class Comparison:
    """What `ssl compare` shows."""

    dataset: str
    columns: list[Column]
    lines: list[Line]  # baselines first
    against: str | None  # the line that the others are compared with
    why: str  # how it was chosen
    level: float
    left_out: list[tuple[str, str]]  # directory, reason
    notices: list[str] = field(default_factory=list)


def compare(
    paths: Sequence[Path],
    *,
    by: Sequence[str] = (),
    over: Sequence[str] = OVER,
    against: str | None = None,
    probes: Sequence[str] = (),
    labels: Sequence[str] = (),
    metric: str | None = None,
    level: float = 0.95,
    sort: bool = False,
) -> Comparison:
    """Compare the runs and probes at or below some directories.

    Args:
        paths: directories of runs, sweeps and probes.
        by: settings that make a group of runs; none: all in which they differ, but for ``over``.
        over: settings whose values are averaged over.
        against: name of a line (or a part of it that only one has), ``none``, or None: the best baseline.
        probes: names of the probes to show; none: all.
        labels: label budgets to show; none: all.
        metric: another one than the headline, such as ``macro_f1``.
        level: of the intervals, in (0, 1).
        sort: the best line first (by its mean place over the columns), instead of the order of the runs.

    Raises:
        UserError: nothing was measured, the runs were measured on other data or by another protocol, or an option names
            what is not there.
    """
    entries, left_out = collect(paths)
    if not entries:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in left_out[:3])
        raise UserError(f"nothing to compare: no run is finished and measured ({reasons})")
    alike.check_data(entries)
    for e in entries:
        e.rows = _selected(e.rows, probes, labels)
    if not any(e.rows for e in entries):
        raise UserError(f"no run was measured by {', '.join([*probes, *labels])}; leave out --probe and --labels")
    entries = [e for e in entries if e.rows]
    columns = _columns([row for e in entries for row in e.rows if metric in (None, *_metrics(row))], metric)
    if not columns:
        known = dict.fromkeys(name for e in entries for row in e.rows for name in _metrics(row))
        raise UserError(f"no run has the metric '{metric}'{did_you_mean(str(metric), known)} ({', '.join(known)})")
    groups = grouped(entries, by, over, metric)
    notices = alike.check_protocols(groups, columns)
    several = any(len(cell) > 1 for group in groups for cell in group.cells.values())
    lines = [_line(group, several) for group in groups]
    cells = {id(line): group.cells for line, group in zip(lines, groups, strict=True)}
    if sort:
        lines = sorted(lines, key=lambda line: (not line.baseline, _place(line, lines)))
    reference, why = _reference(lines, against)
    if reference is not None:
        _add_differences(lines, cells, reference, level)
    dataset = next((e.dataset for e in entries if e.dataset), "")
    name = reference.name if reference else None
    return Comparison(dataset, columns, lines, name, why, level, left_out, notices + _seeds_differ(groups))


def _metrics(row: Row) -> list[str]:
    return list(dict.fromkeys([row["metric"], *row.get("metrics", {})]))


def _columns(rows: Sequence[Row], metric: str | None) -> list[Column]:
    """Return the columns: probes as they come, of each the most labels first."""
    columns = list(dict.fromkeys(column(row, metric) for row in rows))
    probes = list(dict.fromkeys((probe, target) for probe, _, target, _ in columns))
    kinds = ("all", "fraction", "per_class", "none")

    def place(at: Column) -> tuple[int, int, float]:
        kind, amount = ("none", 0) if at[1] == "none" else parse_budget(at[1])  # a task that uses no labels
        return probes.index((at[0], at[2])), kinds.index(kind), -(amount or 0)

    return sorted(columns, key=place)


def _selected(rows: Sequence[Row], probes: Sequence[str], labels: Sequence[str]) -> list[Row]:
    return [r for r in rows if (not probes or r["probe"] in probes) and (not labels or r["labels"] in labels)]


def _line(group: Group, several: bool) -> Line:
    scores = {}
    for at, cell in group.cells.items():
        found = [value(row, at) for _, row in cell.values()]
        means = [mean for mean, _ in found]
        std = statistics.stdev(means) if len(means) > 1 else None if several else found[0][1]
        scores[at] = Score(statistics.fmean(means), std, len(means), max(row["n"] for _, row in cell.values()))
    runs = {} if group.baseline else {run_of(e): e for e in group.entries}
    seconds = [e.seconds for e in runs.values() if e.seconds is not None]
    images = [e.images_seen for e in runs.values() if e.images_seen is not None]
    return Line(
        name=group.name,
        baseline=group.baseline,
        runs=[] if group.baseline else [str(e.path) for e in group.entries],
        scores=scores,
        seconds=statistics.fmean(seconds) if seconds else None,
        images_seen=statistics.fmean(images) if images else None,
        collapsed=sum(e.collapsed for e in runs.values()),
    )


def _better(at: Column, score: Score) -> float:
    return -score.mean if at[3] in LOWER else score.mean


def _place(line: Line, lines: Sequence[Line]) -> float:
    """Return the mean over a line's columns of how many lines are better in it, as a share."""
    places = []
    for at, score in line.scores.items():
        rivals = [_better(at, other.scores[at]) for other in lines if at in other.scores]
        places.append(sum(rival > _better(at, score) for rival in rivals) / len(rivals))
    return statistics.fmean(places)


def _reference(lines: Sequence[Line], against: str | None) -> tuple[Line | None, str]:
    """Return the line that the others are compared with, and how it was chosen."""
    if against == "none" or (against is None and len(lines) < 2):
        return None, ""
    if against is None:
        baselines = [line for line in lines if line.baseline]
        if not baselines:
            return lines[0], "the first line, for there is no baseline"
        return min(baselines, key=lambda line: _place(line, baselines)), "the best baseline"
    named = [line for line in lines if line.name == against]
    named = named or [line for line in lines if against.lower() in line.name.lower()]
    if len(named) != 1:
        names = [line.name for line in named or lines]
        which = "can be" if named else f"is none of the lines{did_you_mean(against, names)}; they are"
        raise UserError(f"--against {against} {which} {', '.join(names[:12])}{', ...' * (len(names) > 12)}")
    return named[0], "as chosen"


def _add_differences(
    lines: Sequence[Line], cells: dict[int, dict[Column, Cell]], reference: Line, level: float
) -> None:
    predictions = Predictions()
    for line in lines:
        for at, score in line.scores.items():
            if line is not reference and at in reference.scores:
                score.difference = score.mean - reference.scores[at].mean
                pair = cells[id(line)][at], cells[id(reference)][at]
                score.interval, score.kinds = difference(*pair, at, predictions, level)


def _seeds_differ(groups: Sequence[Group]) -> list[str]:
    """Return a notice where lines are means over different seeds."""
    seen: dict[tuple[Key, ...], str] = {}
    for group in groups:
        for cell in () if group.baseline else group.cells.values():
            seen.setdefault(tuple(sorted(cell, key=str)), group.name)
    if len(seen) < 2:
        return []
    (few, name), (many, other) = sorted(seen.items(), key=lambda item: len(item[0]))[:: len(seen) - 1]
    shown = [" ".join(dict.fromkeys(str(key[0]) for key in keys if key)) or "none" for keys in (few, many)]
    return [f"not all lines are of the same seeds: {name} of {shown[0]}; {other} of {shown[1]}"]


def summary(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values, for JSON."""
    c = comparison
    return {
        "dataset": c.dataset,
        "against": c.against,
        "level": c.level,
        "columns": [dict(zip(("probe", "labels", "target", "metric"), at, strict=True)) for at in c.columns],
        "rows": [
            {
                "name": line.name,
                "baseline": line.baseline,
                "seconds": line.seconds,
                "images_seen": line.images_seen,
                "collapsed": line.collapsed,
                "runs": line.runs,
                "cells": [_plain(line.scores.get(at)) for at in c.columns],
            }
            for line in c.lines
        ],
        "left_out": [{"run": run, "reason": reason} for run, reason in c.left_out],
        "notices": c.notices,
    }


def _plain(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return {
        **{"mean": score.mean, "std": score.std, "n": score.n, "draws": score.draws, "difference": score.difference},
        "interval": score.interval and list(score.interval),
        "covers": list(score.kinds),
        "within_noise": score.within_noise,
    }
