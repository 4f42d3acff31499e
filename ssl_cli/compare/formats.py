"""A comparison as a table for the terminal, and as csv, Markdown, HTML and JSON."""

import csv
import html
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ssl_cli.compare.comparison import LOWER, Comparison, Line, Score, summary
from ssl_cli.compare.groups import Column
from ssl_cli.compare.table import METRICS, PLAIN, header

COST = ["runs", "seconds", "images seen"]
NARROWEST = 14  # characters of the names' column, which may be folded
SOURCES = {"runs": "Student's t over runs", "draws": "t over draws of the labels", "images": "bootstrap of test images"}


def to_terminal(c: Comparison, console: Console) -> RenderableType:
    """Return the table, in several blocks of columns where the terminal is too narrow, and what is to be said of it."""
    notes = [Text(line) for line in remarks(c)]
    # An interval stands beside its difference, or below it where that saves blocks.
    layouts = [_blocks(_columns(c, between), console.width) for between in (" ", "\n")]
    return Group(Text(title(c), style="italic"), *(_table(c, block) for block in min(layouts, key=len)), *notes)


def _columns(c: Comparison, between: str) -> list[list[Text]]:
    """Return each column as its head and a cell for every line."""
    columns = [[Text(_head(c, at)), *(_rich_cell(c, line, at, between) for line in c.lines)] for at in c.columns]
    costs = zip(*(_cost(line) for line in c.lines), strict=True)
    return columns + [[Text(head), *map(Text, cells)] for head, cells in zip(COST, costs, strict=True)]


def _blocks(columns: Sequence[list[Text]], width: int) -> list[list[list[Text]]]:
    """Return the columns in blocks that fit a width in characters beside the narrowest column of names."""
    blocks: list[list[list[Text]]] = []
    room = 0
    for column in columns:
        needed = 3 + max(part.cell_len for cell in column for part in cell.split())
        if room < needed:
            blocks.append([])
            room = width - NARROWEST - 4
        blocks[-1].append(column)
        room -= needed
    return blocks


def _table(c: Comparison, columns: Sequence[list[Text]]) -> Table:
    """Return one block; only names may be folded."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", overflow="fold", min_width=NARROWEST)
    for head, *_ in columns:
        table.add_column(head, justify="right", no_wrap=True)
    for number, line in enumerate(c.lines, 1):
        name = Text(line.name, style="bold" if line.name == c.against else "")
        table.add_row(name, *(column[number] for column in columns))
    return table


def _rich_cell(c: Comparison, line: Line, at: Column, between: str) -> Text:
    if at not in line.scores:
        return Text("")
    score = line.scores[at]
    text = Text(shown(score, at), style="bold" if is_best(c, score, at) else "")
    if score.difference is not None:
        below = shown_difference(score, at).replace(" [", f"{between}[")
        text.append(f"\n{below}", style="not bold" if score.within_noise is False else "not bold dim")
    return text


def to_csv(c: Comparison) -> str:
    """Return one line per cell: fractions, not percent."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = ("name", "baseline", "probe", "labels", "target", "metric", "mean", "std", "n", "draws")
    names += ("against", "difference", "low", "high", "covers", "within_noise", "seconds", "images_seen", "collapsed")
    writer.writerow(names)
    for line in c.lines:
        for at, s in line.scores.items():
            low, high = s.interval or (None, None)
            against = c.against if s.difference is not None else None
            cells = [line.name, line.baseline, *at, s.mean, s.std, s.n, s.draws, against, s.difference, low, high]
            cells += [" ".join(s.kinds), s.within_noise, line.seconds, line.images_seen, line.collapsed]
            writer.writerow([_no_formula(cell) for cell in cells])
    return stream.getvalue()


def to_markdown(c: Comparison) -> str:
    """Return a table and the remarks below it; text of the data is escaped."""
    rows = [["", *(_head(c, at).replace("\n", " ") for at in c.columns), *COST]]
    rows.append(["---", *["---:"] * (len(rows[0]) - 1)])
    rows[0] = [_escape(cell) for cell in rows[0]]
    for line in c.lines:
        cells = [
            (f"**{cell.score}**" if cell.best else cell.score) + (f"<br>{cell.difference}" if cell.difference else "")
            for cell in score_cells(c, line)
        ]
        rows.append([_escape(line.name), *cells, *_cost(line)])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([_escape(title(c)) + ".", "", table, "", *(f"{_escape(line)}\n" for line in remarks(c))])


def to_html(c: Comparison) -> str:
    """Return a page of its own, which needs nothing else."""
    from ssl_cli.system.html import render

    return render("compare/templates/page.html", **html_parts(c))


def html_parts(c: Comparison) -> dict[str, Any]:
    """Return what ``compare/templates/table.html`` shows; all of it is plain text."""
    return {
        "title": title(c),
        "heads": [*(_head(c, at) for at in c.columns), *COST],
        "rows": [{"name": line.name, "cells": score_cells(c, line), "cost": _cost(line)} for line in c.lines],
        "remarks": remarks(c),
    }


@dataclass
class ScoreCell:
    """A score as text."""

    score: str = ""
    difference: str = ""  # to the line that all are compared with
    best: bool = False  # of its column


def score_cells(c: Comparison, line: Line) -> list[ScoreCell]:
    """Return the cells of a line, one for each column; they are empty where the line has no score."""
    cells = []
    for at in c.columns:
        score = line.scores.get(at)
        difference = shown_difference(score, at) if score and score.difference is not None else ""
        cells.append(ScoreCell(shown(score, at), difference, is_best(c, score, at)) if score else ScoreCell())
    return cells


def to_json(c: Comparison) -> str:
    """Return everything; fractions, not percent."""
    return json.dumps({**summary(c), "remarks": remarks(c)}, indent=2) + "\n"


def title(c: Comparison) -> str:
    """Return what the numbers are."""
    metrics = list(dict.fromkeys(at[3] for at in c.columns))
    names = ", ".join(METRICS.get(metric, metric.replace("_", " ")) for metric in metrics)
    percent = "" if any(metric in PLAIN for metric in metrics) else " in %"
    return f"{names[0].upper()}{names[1:]}{percent} on the test split of {c.dataset or 'unknown data'}"


def shown(score: Score, at: Column) -> str:
    """Return for example ``95.9 ± 0.3``."""
    scale, digits = (1, 3) if at[3] in PLAIN else (100, 1)
    deviation = "" if score.std is None else f" ± {scale * score.std:.{digits}f}"
    return f"{scale * score.mean:.{digits}f}{deviation}"


def shown_difference(score: Score, at: Column) -> str:
    """Return for example ``+6.2 [5.1, 7.4]``; a difference within noise begins with ``~``."""
    scale, digits = (1, 3) if at[3] in PLAIN else (100, 1)
    low_high = (
        "" if score.interval is None else " [{}, {}]".format(*(f"{scale * x:.{digits}f}" for x in score.interval))
    )
    return f"{'~' if score.within_noise else ''}{scale * score.difference:+.{digits}f}{low_high}"


def is_best(c: Comparison, score: Score, at: Column) -> bool:
    """Tell whether a score is shown as the best of its column."""
    means = [round(line.scores[at].mean, 3) for line in c.lines if at in line.scores]
    return round(score.mean, 3) == (min if at[3] in LOWER else max)(means)


def remarks(c: Comparison) -> list[str]:
    """Return what must be known to read the table, one sentence or two each."""
    scores = [(line, at, line.scores[at]) for line in c.lines for at in c.columns if at in line.scores]
    own = [score for line, _, score in scores if not line.baseline]
    runs, draws = max((s.n for s in own), default=1), max(s.draws for _, _, s in scores)
    lines = []
    if runs > 1:
        each = f"; each with few labels is the mean over {draws} draws of them" if draws > 1 else ""
        up_to = "up to " if any(s.n < runs for s in own) else ""
        lines.append(f"± is the deviation over {up_to}{runs} runs{each}.")
    elif draws > 1:
        lines.append(f"± is the deviation over {draws} draws of the labels. One run each: other seeds are not in it.")
    if c.against is not None:
        lines += _of_differences(c, [item for item in scores if item[2].difference is not None])
    collapsed = [f"{line.name} ({line.collapsed} of {len(line.runs)})" for line in c.lines if line.collapsed]
    lines += [f"Collapsed: {', '.join(collapsed)}."] * bool(collapsed)
    lines += [f"Note: {notice}." for notice in c.notices]
    return lines + [f"Left out: {run}: {reason}" for run, reason in c.left_out]


def _of_differences(c: Comparison, scores: Sequence[tuple[Line, Column, Score]]) -> list[str]:
    judged = [item for item in scores if item[2].within_noise is not None]
    percent = f"{100 * c.level:g}%"
    points = "" if any(at[3] in PLAIN for at in c.columns) else " in points"
    lines = []
    if judged:
        kinds = [SOURCES[kind] for kind in SOURCES if any(kind in s.kinds for _, _, s in judged)]
        widest = f"the union of {', '.join(kinds[:-1])} and {kinds[-1]}" if len(kinds) > 1 else kinds[0]
        missing = ["seeds where there is one run"] * any(s.n == 1 for line, _, s in judged if not line.baseline)
        if not all("images" in s.kinds for _, _, s in judged):
            missing.append("test images where there is no predictions.npz")
        untold = f" It says nothing of other {', nor of other '.join(missing)}." if missing else ""
        lines.append(
            f"Second line of a cell: difference to {c.against} ({c.why}){points}, with its {percent} interval: "
            f"{widest}, paired where they can be.{untold}"
        )
        noise = [item for item in judged if item[2].within_noise]
        which = _listed(noise, judged) if noise else f"none of the {len(judged)} differences"
        lines.append(f"Within noise (~, the interval holds 0): {which}.")
        if len(judged) > 1:
            by_chance = len(judged) * (1 - c.level)
            lines.append(
                f"{len(judged) - len(noise)} of {len(judged)} differences are beyond noise, each judged by itself: if "
                f"none were real, about {by_chance:.1g} would look so by chance. Differences between other lines: "
                "--against."
            )
    if unknown := [item for item in scores if item[2].interval is None]:
        lines.append(
            f"Noise unknown (nothing varies over runs, and no predictions.npz of both): {_listed(unknown, scores)}."
        )
    return lines


Item = tuple[Line, Column, Score]


def _listed(items: Sequence[Item], among: Sequence[Item]) -> str:
    """Return names with the columns meant; without them where it is every column that the line has there."""
    found = []
    for name in dict.fromkeys(line.name for line, _, _ in items):
        columns = [_short(at) for line, at, _ in items if line.name == name]
        every = len(columns) == sum(line.name == name for line, _, _ in among)
        found.append(name if every else f"{name} ({', '.join(columns)})")
    return "; ".join(found)


def _head(c: Comparison, at: Column) -> str:
    several = len({metric for *_, metric in c.columns}) > 1
    metric = METRICS.get(at[3], at[3].replace("_", " ")) + ("" if at[3] in PLAIN else " %")
    return header(*at[:3]) + (f",\n{metric}" if several else "")


def _short(at: Column) -> str:
    """Return for example ``linear 10/class``."""
    return " ".join(part for part in (at[0], at[2], at[1]) if part)


def _cost(line: Line) -> list[str]:
    """Return how many runs a line is the mean of, and what one of them cost."""
    counts = {score.n for score in line.scores.values()}
    runs = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    return [runs, *("" if value is None else f"{value:,.0f}" for value in (line.seconds, line.images_seen))]


def _escape(text: str) -> str:
    """Return text that is neither markup nor a new cell of a Markdown table."""
    text = html.escape(text, quote=False)
    return "".join(f"\\{char}" if char in "\\`*_[]|#" else " " if char in "\r\n" else char for char in text)


def _no_formula(cell: object) -> object:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


FORMATS = {"csv": to_csv, "md": to_markdown, "html": to_html, "json": to_json}
