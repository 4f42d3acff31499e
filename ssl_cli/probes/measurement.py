"""The results of a measurement: rows, the predictions for each test input, and the fitted heads."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssl_cli.probes.base import Result, Spread
from ssl_cli.probes.heads import LinearHead, RidgeHead
from ssl_cli.probes.progress import measuring, tracked
from ssl_cli.probes.scores.metrics import classification
from ssl_cli.probes.scores.protocol import BASELINES, key, protocol
from ssl_cli.setup.propagated import write_labels
from ssl_cli.system import atomic

DIGITS = 1e-6  # largest error of a stored value, as a share of their range


@dataclass
class Measurement:
    """Rows of results, and the predictions for each test input."""

    splits: str  # fingerprint of the splits: part of every protocol
    test: Tensor  # [n] positions of the test inputs that have a label or target
    copied: Tensor  # [m] positions of the test inputs that are also in train
    rows: list[dict] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)  # the content of ``predictions.npz``
    heads: dict[str, LinearHead | RidgeHead] = field(default_factory=dict)  # the names are those of ``arrays``
    images_per_second: float | None = None  # of the trained model's features; None: all came from the cache
    features: Callable[[Tensor], Tensor] | None = None  # of inputs at positions, by the model that was measured last
    spread: dict[str, Spread] = field(default_factory=dict)  # label budget -> labels that the model gives train inputs

    def add(
        self,
        model: str,
        result: Result,
        layer: int | None = None,
        at: Tensor | None = None,
        again: dict | None = None,
    ) -> None:
        """Add a row and its predictions for the test inputs at positions ``at``.

        Args:
            model: name.
            result: of a probe.
            layer: the features are its output; None: the last.
            at: positions of the predicted test inputs; None: all of them.
            again: its metrics without inputs that are in train, if predicted classes do not give them.
        """
        result.settings = {"layer": "last" if layer is None else layer, **result.settings}
        row = {"model": model, **result.row}
        row["protocol"] = protocol(row, self.splits)
        row["without_copies"] = self._without_copies(result, self.test if at is None else at, again)
        self.rows.append(row)
        if result.head is not None:
            self.heads[key(row)] = result.head
        if result.spread is not None and model not in BASELINES:
            self.spread[result.labels] = result.spread
        predicted = result.predicted
        if predicted is not None:
            if at is not None and len(at) < len(self.test):
                unknown = float("nan") if predicted.is_floating_point() else -1
                whole = torch.full((len(predicted), len(self.test)), unknown, dtype=predicted.dtype)
                whole[:, torch.isin(self.test, at)] = predicted.cpu()
                predicted = whole
            self.arrays[key(row)] = smallest(predicted)

    def _without_copies(self, result: Result, at: Tensor, again: dict | None) -> dict | None:
        """Return the headline on the test inputs that are not in train; None if there are no copies."""
        copies = torch.isin(at, self.copied)
        if not copies.any():
            return None
        headline, scores = next(iter(result.metrics)), {}
        if again is not None:
            scores = again.get(headline, {})
        elif are_classes(result) and not copies.all():
            truth = torch.as_tensor(self.arrays["labels"], dtype=torch.int64)[torch.isin(self.test, at)][~copies]
            predicted = result.predicted.cpu()[:, ~copies]
            scores = classification(predicted, truth, int(max(truth.max(), predicted.max())) + 1)[headline]
        counts = {"images": int((~copies).sum()), "left_out": int(copies.sum())}
        return counts | {name: scores.get(name) for name in ("mean", "std", "ci")}

    def write_predictions(self, file: Path) -> None:
        """Write ``positions`` [n], ``labels`` [n], ``targets_NAME`` [n] and predictions of the test inputs.

        The predictions are one array ``MODEL/PROBE/LABELS[/TARGET]`` [draws, n] per row: a class (-1 for an input that
        was not predicted) or a value (NaN likewise). They are plain arrays: ``numpy.load(file, allow_pickle=False)``.
        Without predictions there is no file.
        """
        if any("/" in name for name in self.arrays):
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **self.arrays)
            atomic.replace(file, buffer.getvalue())

    def write_pseudo_labels(self, file: Path) -> None:
        """Write the labels that the model gives the train inputs, if it gives any; see `write_labels`."""
        found, budgets = None, {}
        with measuring("labels of the train split"):
            for budget, spread in tracked(self.spread.items()):
                found, labels, confidence = spread.to_all()
                budgets[budget] = {"labelled": spread.labelled, "confidence": confidence}
                budgets[budget]["labels"] = torch.from_numpy(smallest(labels))
        if found is not None:
            write_labels(file, budgets, found)


def are_classes(result: Result) -> bool:
    """Return whether the predictions of a result give its headline for any subset of the test inputs."""
    return result.predicted is not None and next(iter(result.metrics)) in ("accuracy", "balanced_accuracy")


def smallest(values: Tensor) -> np.ndarray:
    """Return predictions in the smallest numpy type that fits: int16 or int32; float32 or float64.

    Values need float64 if they are large beside their differences, as seconds since 1970 are.
    """
    array = values.cpu().numpy()
    if array.dtype.kind == "f":
        known, small = array[np.isfinite(array)], array.astype(np.float32)
        lost = np.abs(known - known.astype(np.float32)).max(initial=0)
        return small if not known.size or lost <= DIGITS * np.ptp(known) else array
    return array.astype(np.int16 if array.size == 0 or array.max() < 2**15 else np.int32)
