"""The table at the end of a run: every model, measured by every probe, on the same images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ssl_cli.probes.base import Features, Probe, Split

if TYPE_CHECKING:
    from ssl_cli.data.images import ImageData

LARGE = 5000  # labelled images from which a probe takes long enough to say what it is at


def evaluate(
    models: Mapping[str, Callable[[Tensor], Tensor]],
    data: ImageData,
    labelled: Tensor,
    probes: Mapping[str, Probe],
    log: Callable[[str], None],
    device: torch.device | str = "cpu",
) -> list[dict]:
    """Run every probe on the features of every model.

    Args:
        models: name to a function from positions [n] in the data set to features [n, d]: the method, and the baselines
            ``pixels`` and ``random``.
        data: the images, their labels and splits.
        labelled: positions of the training images whose label may be used.
        probes: name to probe.
        log: is given one line for whatever had to be left out.
        device: where the probes compute.

    Returns:
        The rows of `Probe.run`, each with ``model`` first; none where train or test has no labelled image.
    """
    positions = {"train": labelled, "val": data.splits["val"], "test": data.splits["test"]}
    positions = {split: p[data.labels[p] >= 0] for split, p in positions.items()}
    missing = [split for split in ("train", "test") if not len(positions[split])]
    if missing:
        log(f"no labelled image in {' and '.join(missing)}: nothing to probe")
        return []
    rows, notices = [], []
    for number, (model, features_of) in enumerate(models.items(), 1):
        if len(positions["train"]) >= LARGE:
            log(f"measuring {model} ({number} of {len(models)}): {', '.join(probes)}")
        splits = {s: Split(features_of(p).to(device), data.labels[p].to(device)) for s, p in positions.items()}
        features = Features(**splits, classes=data.num_classes)
        for probe in probes.values():
            rows += [{"model": model, **row} for row in probe.run(features)]
            notices += probe.notices
    for notice in dict.fromkeys(notices):  # each model brings the same
        log(notice)
    return rows
