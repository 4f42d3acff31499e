"""One sentence that says whether the network is better, worse or the same after training, by the same probes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_cli.compare.cells import Column, cells_of, mean_and_std
from ssl_cli.compare.differences import Predictions, difference
from ssl_cli.compare.entries import Entry
from ssl_cli.compare.intervals import Interval
from ssl_cli.compare.metrics import LOWER, METRICS, PLAIN, scale_and_digits
from ssl_cli.probes.scores.protocol import BASELINES, BEFORE
from ssl_cli.runs.catalog import most_telling

WORDS = {1: "gained", -1: "lost", 0: "within noise"}
LOSS = (
    "; checkpoints/start.pt is the network before training: use it, or train less of it (backbone.adapt), more slowly "
    "(optimizer.lr) or for a shorter time"
)


def verdict(path: Path, rows: Sequence[dict[str, Any]], level: float = 0.95) -> str:
    """Say whether training gained, lost, or is within noise; "" where there is no row of before training.

    The test inputs of a run judge, by probes whose settings were chosen on val. The most telling column is told with
    its interval, of the others those that come out otherwise.

    Args:
        path: directory with the ``predictions.npz`` of the rows.
        rows: as `ssl_cli.probes.base.Probe.run` documents them.
        level: of the intervals, in (0, 1).
    """
    entry = Entry(path, "", "", "", list(rows))
    start, end = cells_of([entry], (), None, BEFORE), cells_of([entry], (), None)
    predictions, judged = Predictions(), {}
    for at in end:
        if at in start and (interval := difference(end[at], start[at], at, predictions, level)[0]) is not None:
            judged[at] = interval
    own = [row for row in rows if row["model"] not in BASELINES and _column(row) in judged]
    if not own:
        return ""
    at = _column(most_telling(own))
    (_, before), (_, after) = (next(iter(cells[at].values())) for cells in (start, end))
    way = _way(at, judged[at])
    text = _told(at, mean_and_std(before, at)[0], mean_and_std(after, at)[0], judged[at], level)
    said = {
        1: f"training gained: {text}",
        -1: f"training lost: {text}",
        0: f"training is within noise of what it started from: {text}",
    }[way]
    other = {word: [_name(c) for c in judged if _way(c, judged[c]) == sign and c != at] for sign, word in WORDS.items()}
    elsewhere = "; ".join(
        f"{word}: {', '.join(names)}" for word, names in other.items() if names and word != WORDS[way]
    )
    return said + f" (elsewhere {elsewhere})" * bool(elsewhere) + (LOSS if way < 0 else "")


def _column(row: dict[str, Any]) -> Column:
    return row["probe"], row["labels"], row.get("target"), row["metric"]


def _way(at: Column, interval: Interval) -> int:
    """Return 1 where a column is better beyond noise, -1 where it is worse, 0 within it."""
    sign = -1 if at[3] in LOWER else 1
    return sign * ((interval[0] > 0) - (interval[1] < 0))


def _name(at: Column) -> str:
    """Return for example ``linear with all labels``."""
    labels = "" if at[1] == "none" else f" with {at[1]} labels"
    return {"knn": "kNN"}.get(at[0], at[0]) + (f" of {at[2]}" if at[2] else "") + labels


def _told(at: Column, before: float, after: float, interval: Interval, level: float) -> str:
    """Return for example ``linear with all labels, 75.0 before and 78.1 after: +3.1 [1.2, 5.0], 95 % interval``."""
    scale, digits = scale_and_digits(at[3])
    unit = "" if at[3] in PLAIN else " %"
    low, high = (f"{scale * end:.{digits}f}" for end in interval)
    metric = METRICS.get(at[3], at[3].replace("_", " "))
    then, now = (f"{scale * value:.{digits}f}{unit}" for value in (before, after))
    return (
        f"{metric} of {_name(at)}, {then} before and {now} after: "
        f"{scale * (after - before):+.{digits}f} [{low}, {high}], {100 * level:g} % interval"
    )
