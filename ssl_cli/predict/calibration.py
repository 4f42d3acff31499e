"""Probabilities that can be believed: one temperature, and distances as percentiles."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.probes.scores.ties import Gallery

HALVINGS = 60  # of the interval in which the temperature lies: to the last digit of float64
COOLEST, HOTTEST = 1e-3, 1e3


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature T > 0 whose ``softmax(logits / T)`` is closest to the labels by cross-entropy.

    Guo et al. 2017 (arXiv:1706.04599). As in Platt scaling (Platt 1999) the n inputs count as if one more of each kind
    had been seen, right and wrong: without that, inputs that are all right would ask for a certainty without end.

    Args:
        logits: [n, C], n >= 1, C >= 2.
        labels: [n] int64 in 0..C-1.
    """
    logits, (n, classes) = logits.double(), logits.shape
    target = torch.full_like(logits, 1 / (n + 2) / (classes - 1))
    target.scatter_(1, labels[:, None], (n + 1) / (n + 2))

    def slope(sharpness: float) -> float:  # of the loss, which is convex in 1 / T
        return ((logits * sharpness).softmax(1) - target).mul(logits).sum().item()

    low, high = 1 / HOTTEST, 1 / COOLEST
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / (low * high) ** 0.5


def two_likeliest(logits: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return class, probability, second class and its probability, [n] each, of logits [n, C], C >= 2.

    The class is the one that a measurement of the run names (``predictions.npz``), whatever the temperature.
    """
    classes = logits.float().softmax(1).max(1).indices
    probabilities = (logits.double() / temperature).softmax(1)
    others = probabilities.scatter(1, classes[:, None], -1.0)
    second = others.max(1)
    return classes, probabilities.gather(1, classes[:, None])[:, 0], second.indices, second.values


class Familiar:
    """The training inputs as a measure of what is familiar: distance to the k-th nearest, as a share of those of val.

    Distances are between features of unit length (Sun et al. 2022, arXiv:2204.06507).

    Args:
        bank: [n, d] features of training inputs.
        val: [v] sorted distances of the inputs of val; empty: nothing can be said.
    """

    ROWS = 256  # queries at a time

    def __init__(self, bank: Tensor, val: Tensor):
        self.bank, self.val = bank, val
        self.gallery, self.k = Gallery(bank), nearest(len(bank))

    @classmethod
    def measured(cls, bank: Tensor, val: Tensor) -> "Familiar":
        """Take the features of val [v, d] for what is usual."""
        blank = cls(bank, val.new_empty(0))
        return cls(bank, blank.distances(val).sort().values)

    def distances(self, features: Tensor) -> Tensor:
        """Return the distances [n] in [0, 2] of features [n, d]."""
        rows = F.normalize(features, dim=1).split(self.ROWS)
        found = [self.gallery.cosines(part).topk(self.k, dim=1).values[:, -1] for part in rows if len(part)]
        return (2 - 2 * torch.cat([features.new_empty(0), *found])).clamp(min=0).sqrt()

    def unlike(self, features: Tensor) -> Tensor | None:
        """Return for each input [n] how many percent of val's are closer to the training inputs; None without val."""
        if not len(self.val):
            return None
        closer = torch.searchsorted(self.val, self.distances(features).contiguous())
        return 100 * closer.double() / len(self.val)


def nearest(count: int) -> int:
    """Return which neighbour counts in a bank of so many inputs: the tenth, of few an earlier one."""
    return min(10, max(1, count // 10))
