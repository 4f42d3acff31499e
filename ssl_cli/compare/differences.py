"""The difference of two groups of runs in one column, with every source of noise that the runs show."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ssl_cli.compare.cells import Cell, Column, Row, mean_and_std
from ssl_cli.compare.entries import Entry
from ssl_cli.compare.intervals import Interval, envelope, input_interval, r2_interval, t_interval, welch_interval
from ssl_cli.probes.scores.protocol import BEFORE, RAW
from ssl_cli.probes.scores.protocol import key as prediction_key


@dataclass
class Predictions:
    """Reads ``predictions.npz`` beside a row, each file once; what cannot be read is not there."""

    files: dict[Path, dict[str, np.ndarray]] = field(default_factory=dict)

    def of(self, entry: Entry, row: Row) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Return what was predicted [draws, n], what is true [n], and which inputs they are [n]."""
        if entry.path not in self.files:
            try:
                with np.load(entry.path / "predictions.npz", allow_pickle=False) as file:
                    self.files[entry.path] = dict(file)
            except (OSError, ValueError, EOFError, KeyError):
                self.files[entry.path] = {}
        arrays, target = self.files[entry.path], row.get("target")
        truth = arrays.get(f"targets_{target}" if target else "labels")
        found = arrays.get(prediction_key(row)), truth, arrays.get("positions")
        if any(array is None for array in found) or found[0].shape[-1:] != found[1].shape:
            return None
        return np.atleast_2d(found[0]), found[1], found[2]


def difference(
    a: Cell, b: Cell, at: Column, predictions: Predictions, level: float
) -> tuple[Interval | None, tuple[str, ...]]:
    """Return the interval of mean(a) - mean(b), and what it covers.

    Over runs by Student's t (paired where both are of the same seeds), over draws of the labels by a paired t, over
    test inputs by a paired bootstrap: each that the runs allow is made, and the interval reaches from the lowest end to
    the highest, so that a difference is beyond noise only where it is beyond each of them.
    """
    found = {"runs": _over_runs(a, b, at, level)}
    scored = _scores(a, at, predictions), _scores(b, at, predictions)
    if all(scored) and np.array_equal(scored[0].positions, scored[1].positions):
        found |= _within(*scored, at, level)
    elif len(a) == len(b) == 1:
        summaries = [(*mean_and_std(row, at), row["n"]) for cell in (a, b) for _, row in cell.values()]
        if all(std is not None and n > 1 for _, std, n in summaries):
            found["draws"] = welch_interval(*summaries, level)
    found = {kind: interval for kind, interval in found.items() if interval is not None}
    return envelope(list(found.values())), tuple(found)


def _over_runs(a: Cell, b: Cell, at: Column, level: float) -> Interval | None:
    means_a, means_b = ({key: mean_and_std(row, at)[0] for key, (_, row) in cell.items()} for cell in (a, b))
    if _is_exact(a):
        means_a = dict.fromkeys(means_b, *means_a.values())
    elif _is_exact(b):
        means_b = dict.fromkeys(means_a, *means_b.values())
    paired = means_a.keys() == means_b.keys()
    order = list(means_a) if paired else list(means_b)
    return t_interval(list(means_a.values()), [means_b[key] for key in order], paired, level)


def _is_exact(cell: Cell) -> bool:
    """Return whether a single value is that of all runs: raw inputs, and weights of others, know no seed."""
    return len(cell) == 1 and all(row["model"] in (*RAW, BEFORE) for _, row in cell.values())


@dataclass
class _Scores:
    each: np.ndarray  # [draws, n] right or wrong, or squared errors; mean over runs
    truth: np.ndarray  # [n]
    positions: np.ndarray  # [n]


def _scores(cell: Cell, at: Column, predictions: Predictions) -> _Scores | None:
    """Return how each test input was predicted, or None where that is not known of all runs or the metric has none."""
    read = [predictions.of(entry, row) for entry, row in cell.values()]
    if at[3] not in ("accuracy", "balanced_accuracy", "r2") or any(item is None for item in read):
        return None
    predicted, truth, positions = zip(*read, strict=True)
    if any(p.shape != predicted[0].shape for p in predicted):
        return None
    if any(not np.array_equal(positions[0], p) for p in positions):
        return None
    each: Any = [(p - t) ** 2 if at[3] == "r2" else p == t for p, t in zip(predicted, truth, strict=True)]
    return _Scores(np.mean(np.asarray(each, float), axis=0), truth[0], positions[0])


def _within(a: _Scores, b: _Scores, at: Column, level: float) -> dict[str, Interval | None]:
    """Return the intervals over draws of the labels and over test inputs."""
    if at[3] == "r2":
        total = max(float(((a.truth - a.truth.mean()) ** 2).sum()), 1e-12)
        per_draw = [1 - s.each.sum(1) / total for s in (a, b)]
        inputs = r2_interval(a.each.mean(0), b.each.mean(0), a.truth, level)
    else:
        strata = a.truth if at[3] == "balanced_accuracy" else np.zeros_like(a.truth)
        classes = [strata == c for c in np.unique(strata)]
        per_draw = [np.mean([s.each[:, c].mean(1) for c in classes], axis=0) for s in (a, b)]
        inputs = input_interval(a.each.mean(0), b.each.mean(0), strata, level)
    same = len(per_draw[0]) == len(per_draw[1]) > 1
    return {"draws": t_interval(*(d.tolist() for d in per_draw), True, level) if same else None, "images": inputs}
