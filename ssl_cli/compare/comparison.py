"""Runs beside each other: what they scored, and which differences are larger than noise."""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ssl_cli.compare.alike import check_data, check_protocols
from ssl_cli.compare.cells import Column, Key, Row, column_of, mean_and_std, metrics_of, run_of
from ssl_cli.compare.differences import Predictions, difference
from ssl_cli.compare.entries import Entry, collect
from ssl_cli.compare.groups import Group, grouped
from ssl_cli.compare.metrics import LOWER
from ssl_cli.compare.options import Options
from ssl_cli.compare.result import Comparison, Line, Network, Score
from ssl_cli.config.kinds import kind_of
from ssl_cli.data.budget import parse_budget
from ssl_cli.errors import UserError, did_you_mean


def compare(paths: Sequence[Path], options: Options | None = None) -> Comparison:
    """Compare the runs and probes at or below some directories.

    Args:
        paths: directories of runs, sweeps and probes.
        options: what to show of them, and how to group them.

    Raises:
        UserError: nothing was measured, the runs were measured on other data or by another protocol, or an option names
            what is not there.
    """
    options = options or Options()
    entries, left_out = _measured(paths)
    check_data(entries)
    entries = _selected(entries, options)
    columns = _columns(entries, options.metric)
    groups, unscored = _with_scores(grouped(entries, options))
    notices = check_protocols(groups, columns) + _seeds_differ(groups)
    lines = _lines(groups)
    if options.sort:
        lines = sorted(lines, key=lambda line: (not line.baseline, _place(line, lines)))
    reference, why = _reference(lines, options.against)
    if reference is not None:
        _add_differences(lines, reference, options.level)
    dataset = next((e.dataset for e in entries if e.dataset), "")
    name = reference.name if reference else None
    noun = kind_of(entries[0].data or {})
    return Comparison(dataset, columns, lines, name, why, options.level, left_out + unscored, notices, noun)


def _measured(paths: Sequence[Path]) -> tuple[list[Entry], list[tuple[str, str]]]:
    """Return what was measured, and what is left out, as (directory, reason)."""
    entries, left_out = collect(paths)
    if not entries:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in left_out[:3])
        raise UserError(f"nothing to compare: no run is finished and measured ({reasons})")
    return entries, left_out


def _selected(entries: Sequence[Entry], options: Options) -> list[Entry]:
    """Return the entries with those of their rows that are asked for; those without any are left out."""
    probes, labels = options.probes, options.labels

    def asked_for(row: Row) -> bool:
        return (not probes or row["probe"] in probes) and (not labels or row["labels"] in labels)

    selected = [replace(e, rows=[row for row in e.rows if asked_for(row)]) for e in entries]
    if not any(e.rows for e in selected):
        raise UserError(f"no run was measured by {', '.join([*probes, *labels])}; leave out --probe and --labels")
    return [e for e in selected if e.rows]


def _columns(entries: Sequence[Entry], metric: str | None) -> list[Column]:
    """Return the columns: probes as they come, of each the most labels first."""
    rows = [row for e in entries for row in e.rows]
    columns = list(dict.fromkeys(column_of(row, metric) for row in rows if metric in (None, *metrics_of(row))))
    if not columns:
        known = dict.fromkeys(name for row in rows for name in metrics_of(row))
        raise UserError(f"no run has the metric '{metric}'{did_you_mean(str(metric), known)} ({', '.join(known)})")
    probes = list(dict.fromkeys((probe, target) for probe, _, target, _ in columns))
    kinds = ("all", "fraction", "group_fraction", "per_class", "groups_per_class", "none")

    def place(at: Column) -> tuple[int, int, float]:
        kind, amount = ("none", 0) if at[1] == "none" else parse_budget(at[1])  # a task that uses no labels
        return probes.index((at[0], at[2])), kinds.index(kind), -(amount or 0)

    return sorted(columns, key=place)


def _with_scores(groups: Sequence[Group]) -> tuple[list[Group], list[tuple[str, str]]]:
    """Return the groups that have a score in any column, and the runs of the others, as (directory, reason)."""
    without = [e for group in groups if not group.cells for e in group.entries]
    return [group for group in groups if group.cells], [(str(e.path), "no score in these columns") for e in without]


def _lines(groups: Sequence[Group]) -> list[Line]:
    several = any(len(cell) > 1 for group in groups for cell in group.cells.values())
    return [_line(group, several) for group in groups]


def _line(group: Group, several: bool) -> Line:
    scores = {}
    for at, cell in group.cells.items():
        found = [mean_and_std(row, at) for _, row in cell.values()]
        means = [mean for mean, _ in found]
        std = statistics.stdev(means) if len(means) > 1 else None if several else found[0][1]
        scores[at] = Score(statistics.fmean(means), std, len(means), max(row["n"] for _, row in cell.values()))
    runs = {} if group.baseline else {run_of(e): e for e in group.entries}
    seconds = [e.seconds for e in runs.values() if e.seconds is not None]
    seen = [e.images_seen for e in runs.values() if e.images_seen is not None]
    return Line(
        name=group.name,
        baseline=group.baseline,
        runs=[] if group.baseline else [str(e.path) for e in group.entries],
        scores=scores,
        seconds=statistics.fmean(seconds) if seconds else None,
        images_seen=statistics.fmean(seen) if seen else None,
        collapsed=sum(e.collapsed for e in runs.values()),
        cells=group.cells,
        network=None if group.baseline else _network(list(runs.values())),
    )


def _network(runs: Sequence[Entry]) -> Network | None:
    """Return what the network of a line is; None where it was begun at random and trained."""
    known = [e.network for e in runs if e.network.get("weights") or (e.network and e.images_seen == 0)]
    if not known:
        return None
    speeds = [speed for node in known if isinstance(speed := node.get("images_per_second"), (int, float))]
    licences = [str(node["weights"].get("licence")) for node in known if isinstance(node.get("weights"), dict)]
    stated = list(dict.fromkeys(licence for licence in licences if licence != "None"))
    parameters = known[0].get("parameters")
    return Network(
        parameters if isinstance(parameters, int) else None,
        statistics.fmean(speeds) if speeds else None,
        ", ".join(stated) or None,
    )


def _place(line: Line, lines: Sequence[Line]) -> float:
    """Return the mean over a line's columns of how many lines are better in it, as a share."""
    places = []
    for at in line.scores:
        sign = -1 if at[3] in LOWER else 1
        rivals = [sign * other.scores[at].mean for other in lines if at in other.scores]
        places.append(sum(rival > sign * line.scores[at].mean for rival in rivals) / len(rivals))
    return statistics.fmean(places)


def _reference(lines: Sequence[Line], against: str | None) -> tuple[Line | None, str]:
    """Return the line that the others are compared with, and how it was chosen."""
    if against == "none" or (against is None and len(lines) < 2):
        return None, ""
    if against is None:
        baselines = [line for line in lines if line.baseline]
        if not baselines:
            return lines[0], "the first line: there is no baseline"
        return min(baselines, key=lambda line: _place(line, baselines)), "the best baseline"
    named = [line for line in lines if line.name == against]
    named = named or [line for line in lines if against.lower() in line.name.lower()]
    if len(named) != 1:
        names = [line.name for line in named or lines]
        which = "can be" if named else f"is none of the lines{did_you_mean(against, names)}; they are"
        raise UserError(f"--against {against} {which} {', '.join(names[:12])}{', ...' * (len(names) > 12)}")
    return named[0], "as chosen"


def _add_differences(lines: Sequence[Line], reference: Line, level: float) -> None:
    predictions = Predictions()
    for line in lines:
        for at, score in line.scores.items():
            if line is not reference and at in reference.scores:
                score.difference = score.mean - reference.scores[at].mean
                pair = line.cells[at], reference.cells[at]
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
    seeds = [" ".join(dict.fromkeys(str(key[0]) for key in keys if key)) or "none" for keys in (few, many)]
    return [f"not all lines are of the same seeds: {name} of {seeds[0]}; {other} of {seeds[1]}"]
