"""Parts of semi-supervised methods: a few human labels, and guesses for the rest."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError


def check_labels(data: DataInfo, method: str) -> None:
    """Raise ``UserError`` unless some train inputs have a usable label and some have none."""
    if len(data.classes) < 2:
        raise UserError(
            f"method={method} needs labels of at least two classes; {data.name} has {len(data.classes)}: "
            f"{data.how_to_label}, or choose a method that needs no label (method=simclr)"
        )
    if data.labelled == data.train_size:
        raise UserError(
            f"dataset.labels leaves no {data.noun} of {data.name} unlabelled: method={method} learns from some "
            f"labels and from the rest of the {data.noun}s; write dataset.labels=10/class, or "
            "method=supervised to use all labels"
        )


def labelled_rows(rows: int, mu: int) -> int:
    """Return the number of labelled rows in a batch: they come first, then ``mu`` times as many unlabelled ones."""
    return rows // (1 + mu)


def ramp(progress: Tensor, start: float, end: float) -> Tensor:
    """Return 0 before ``start``, 1 after ``end`` and a straight line between, all shares of the training in [0, 1]."""
    return ((progress - start) / max(end - start, 1e-12)).clamp(0, 1)


def guess(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the most probable class [B] of logits [B, K] and its probability [B], without gradient."""
    confidence, classes = logits.detach().softmax(dim=1).max(dim=1)
    return classes, confidence


def masked_cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Return ``(1/B) sum_b mask_b H(targets_b, softmax(logits_b))``: the mean over all rows, not over the kept ones.

    FixMatch (Sohn et al. 2020, arXiv:2001.07685), equation 4. So a batch with few confident guesses has little weight.

    Args:
        logits: [B, K].
        targets: [B] int64, without gradient.
        mask: [B] bool or weights >= 0.
    """
    return (F.cross_entropy(logits, targets, reduction="none") * mask).mean()


def in_float32(logits: Tensor) -> Tensor:
    """Return logits in float32 at least: a softmax of bf16 numbers is too coarse for a threshold of 0.95."""
    return logits if logits.dtype == torch.float64 else logits.float()
