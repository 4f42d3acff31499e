"""What fills a cell of a comparison: the rows of one model, by column and by what is averaged over."""

from collections.abc import Iterable, Sequence
from typing import Any

from ssl_cli.compare.entries import Entry
from ssl_cli.compare.settings import setting
from ssl_cli.probes.scores.protocol import BASELINES

Column = tuple[str, str, str | None, str]  # probe, labels, target, metric
Row = dict[str, Any]
Key = tuple[str, ...]  # values of the settings that are averaged over
Cell = dict[Key, tuple[Entry, Row]]


def column_of(row: Row, metric: str | None) -> Column:
    """Return the column that a row belongs to; ``metric`` is None for the row's headline."""
    return row["probe"], row["labels"], row.get("target"), metric or row["metric"]


def metrics_of(row: Row) -> list[str]:
    """Return the metrics of a row, its headline first."""
    return list(dict.fromkeys([row["metric"], *row.get("metrics", {})]))


def mean_and_std(row: Row, at: Column) -> tuple[float, float | None]:
    """Return mean and deviation of a row in the metric of a column."""
    scores = row if row["metric"] == at[3] else row["metrics"][at[3]]
    return scores["mean"], scores.get("std")


def key_of(e: Entry, over: Sequence[str]) -> Key:
    """Return a run's values of the settings that are averaged over."""
    return tuple(str(setting(e, key)) for key in over)


def run_of(e: Entry) -> str:
    """Return the directory of the run that a measurement is of."""
    path = e.path.resolve()
    return str(path.parent.parent if path.parent.name == "probes" else path)


def cells_of(
    entries: Iterable[Entry], over: Sequence[str], metric: str | None, model: str | None = None
) -> dict[Column, Cell]:
    """Return the rows of a model (None: the trained one) by column and by the values of ``over``."""
    cells: dict[Column, Cell] = {}
    for e in entries:
        for row in e.rows:
            wanted = row["model"] not in BASELINES if model is None else row["model"] == model
            if wanted and metric in (None, *metrics_of(row)):
                cells.setdefault(column_of(row, metric), {}).setdefault(key_of(e, over), (e, row))
    return cells
