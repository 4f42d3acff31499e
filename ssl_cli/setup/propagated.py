"""Labels that a probe has spread to train inputs, as training learns from them beside the human ones."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from ssl_cli.data.base import Data, split_fingerprint
from ssl_cli.data.pseudo_labels import KEY, find_pseudo_labels
from ssl_cli.errors import UserError
from ssl_cli.runs.catalog import read_json
from ssl_cli.system.atomic import replace


@dataclass
class Propagated:
    """Train inputs without a human label that are learned from with a propagated one."""

    file: str  # where the labels are from
    min_confidence: float
    positions: Tensor  # [m] int64, sorted
    labels: Tensor  # [m] int64 in 0..C-1

    def record(self) -> dict[str, Any]:
        """Return plain values for ``labels.json``: with these a run goes on, whatever becomes of the file."""
        own = {"file": self.file, "min_confidence": self.min_confidence}
        return own | {"positions": self.positions.tolist(), "labels": self.labels.tolist()}

    def summary(self, data: Data) -> dict[str, Any]:
        """Return what ``summary.json`` says: how many labels, and which share is right where the data set knows."""
        truth = data.labels[self.positions]
        known = truth >= 0
        right = (truth == self.labels)[known].double().mean().item() if known.any() else None
        return {
            "file": self.file,
            "min_confidence": self.min_confidence,
            "images": len(self.positions),
            "right": right,
        }


def write_labels(file: Path, budgets: Mapping[str, Mapping[str, Tensor]], positions: Tensor) -> None:
    """Write the labels [draws, n] and confidences of train inputs at ``positions`` [n], for each label budget.

    Args:
        file: ``pseudo_labels.npz``.
        budgets: name -> ``{"labelled": [draws, m] positions that had a label, "labels", "confidence"}``.
        positions: of the train inputs.
    """
    arrays = {"positions": positions.numpy()}
    for budget, parts in budgets.items():
        arrays |= {f"{budget}/{name}": tensor.numpy() for name, tensor in parts.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    replace(file, buffer.getvalue())


def propagated(node: DictConfig, data: Data, labelled: Tensor, kept: Any = None) -> Propagated | None:
    """Return the labels that ``dataset.pseudo_labels`` names; None where it is not set.

    Args:
        node: the data set's settings.
        data: the inputs.
        labelled: [m] positions of the inputs whose human label may be used.
        kept: what `Propagated.record` returned when the run began; None: it begins now.

    Raises:
        UserError: the labels are of other inputs, splits or label budget, are damaged, or none is sure enough.
    """
    if not node.get("pseudo_labels"):
        return None
    if isinstance(kept, Mapping):
        return _checked(kept, data, labelled)
    there, least = find_pseudo_labels(str(node.pseudo_labels), str(node.labels), node.label_seed), node.min_confidence
    result = read_json(there.file.with_name("result.json")) or {}
    if result.get("splits") != split_fingerprint(data):
        raise UserError(
            f"{KEY}={node.pseudo_labels} has labels of {result.get('dataset')} with other {data.noun}s, human labels "
            f"or splits than this {data.name}; leave it out, or name a run on these {data.noun}s"
        )
    try:
        with np.load(there.file, allow_pickle=False) as stored:
            positions = torch.from_numpy(stored["positions"].astype(np.int64))
            known, given, confidence = (
                torch.from_numpy(stored[f"{there.budget}/{name}"][there.draw].astype(kind))
                for name, kind in (("labelled", np.int64), ("labels", np.int64), ("confidence", np.float32))
            )
        fits = positions.ndim == 1 and given.shape == confidence.shape == positions.shape
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{there.file} cannot be read ({type(error).__name__}); make it anew: probe=propagate"
        ) from error
    if not torch.equal(known, labelled):
        raise UserError(
            f"{KEY}={node.pseudo_labels} has labels spread from other labelled {data.noun}s than those of this run's "
            f"dataset.labels={node.labels}; leave it out, or name a run on these {data.noun}s"
        )
    if not fits:
        raise _unfit(str(there.file))
    sure = (confidence >= least) & ~torch.isin(positions, labelled)
    if not sure.any():
        others = confidence[~torch.isin(positions, labelled)]
        highest = (
            f"the highest confidence is {others.max():.3f}" if len(others) else f"every train {data.noun} has its label"
        )
        raise UserError(f"no propagated label has dataset.min_confidence={least:g}: {highest}")
    found = {"file": str(there.file), "min_confidence": least, "positions": positions[sure], "labels": given[sure]}
    return _checked(found, data, labelled)


def _checked(found: Mapping[str, Any], data: Data, labelled: Tensor) -> Propagated:
    """Return the labels if they can be: the file, or a run's ``labels.json``, may have been changed by anybody."""
    try:
        positions, labels = (torch.as_tensor(found[name], dtype=torch.int64) for name in ("positions", "labels"))
        file, least = str(found["file"]), float(found["min_confidence"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _unfit(found.get("file", KEY)) from error
    if positions.ndim != 1 or labels.shape != positions.shape or not len(positions):
        raise _unfit(file)
    known = ((labels >= 0) & (labels < data.num_classes)).all()
    free = (torch.isin(positions, data.splits["train"]) & ~torch.isin(positions, labelled)).all()
    if not (known and free and len(positions.unique()) == len(positions)):
        raise _unfit(file)
    order = positions.argsort()
    return Propagated(file, least, positions[order], labels[order])


def _unfit(file: str) -> UserError:
    return UserError(f"the propagated labels of {file} do not fit the train split; make them anew")
