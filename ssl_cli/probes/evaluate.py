"""The table at the end of a run: every model, measured by every probe, on the same images."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ssl_cli.atomic import replace
from ssl_cli.data.images import split_fingerprint
from ssl_cli.probes.base import Features, Probe, Result, Split
from ssl_cli.probes.metrics import imbalanced
from ssl_cli.probes.protocol import key, protocol

if TYPE_CHECKING:
    from ssl_cli.data.images import ImageData

LARGE = 5000  # labelled images from which a probe takes long enough to say what it is at


@dataclass
class Measured:
    """Rows of results, and what was predicted of each test image."""

    splits: str  # fingerprint of the splits: part of every protocol
    rows: list[dict] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)  # the content of ``predictions.npz``

    def add(self, model: str, result: Result) -> None:
        """Add a row and its predictions."""
        row = {"model": model, **result.row}
        row["protocol"] = protocol(row, self.splits)
        self.rows.append(row)
        if result.predicted is not None:
            self.arrays[key(row)] = _small(result.predicted)

    def write_predictions(self, file: Path) -> None:
        """Write ``positions`` [n] and ``labels`` [n] of the test images, and ``MODEL/PROBE/LABELS`` [draws, n] per row.

        Plain arrays: ``numpy.load(file, allow_pickle=False)``. Nothing is written where nothing was predicted.
        """
        if self.arrays:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **self.arrays)
            replace(file, buffer.getvalue())


def evaluate(
    models: Mapping[str, Callable[[Tensor], Tensor]],
    data: ImageData,
    labelled: Tensor,
    probes: Mapping[str, Probe],
    log: Callable[[str], None],
    device: torch.device | str = "cpu",
    budget: str = "all",
    label_seed: int | None = None,
) -> Measured:
    """Run every probe on the features of every model.

    Args:
        models: name to a function from positions [n] in the data set to features [n, d]: the method, and the baselines
            ``pixels`` and ``random``.
        data: the images, their labels and splits.
        labelled: positions of the training images whose label may be used.
        probes: name to probe.
        log: is given one line for whatever had to be left out.
        device: where the probes compute.
        budget: that ``labelled`` is: rows with all of them are named by it.
        label_seed: that drew them.

    Returns:
        The rows that `Probe.run` documents; none where train or test has no labelled image.
    """
    measured = Measured(split_fingerprint(data))
    positions = {"train": labelled, "val": data.splits["val"], "test": data.splits["test"]}
    positions = {split: p[data.labels[p] >= 0] for split, p in positions.items()}
    missing = [split for split in ("train", "test") if not len(positions[split])]
    if missing:
        log(f"no labelled image in {' and '.join(missing)}: nothing to probe")
        return measured
    truth = data.labels[positions["test"]]
    measured.arrays |= {"positions": positions["test"].numpy(), "labels": _small(truth)}
    if imbalanced(truth):
        counts = torch.bincount(truth)
        log(
            f"the classes have {counts[counts > 0].min()} to {counts.max()} test images: the headline is balanced "
            "accuracy, the mean over classes of the share that is right"
        )
    notices = []
    for number, (model, features_of) in enumerate(models.items(), 1):
        if len(positions["train"]) >= LARGE:
            log(f"measuring {model} ({number} of {len(models)}): {', '.join(probes)}")
        splits = {s: Split(features_of(p).to(device), data.labels[p].to(device), p) for s, p in positions.items()}
        features = Features(**splits, classes=data.num_classes, budget=budget, label_seed=label_seed)
        for probe in probes.values():
            for result in probe.run(features):
                measured.add(model, result)
            notices += probe.notices
    for notice in dict.fromkeys(notices):  # each model brings the same
        log(notice)
    return measured


def _small(values: Tensor) -> np.ndarray:
    """Return predictions as numpy's smallest fitting type: float32, int16 or int32."""
    array = values.cpu().numpy()
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    return array.astype(np.int16 if array.size == 0 or array.max() < 2**15 else np.int32)
