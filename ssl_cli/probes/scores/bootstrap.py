"""Intervals by resampling the test inputs: every draw of the bootstrap is one column of a matrix of weights."""

from functools import lru_cache

import torch
from torch import Tensor

REPLICATES = 1000
MEMORY = 50_000_000  # weights held at a time; beyond 50,000 inputs there are fewer replicates


@lru_cache(maxsize=2)
def resamples(n: int, seed: int = 0) -> Tensor:
    """Return how often each of n inputs is drawn: [n, 1 + B] float32, the first column all ones (the sample itself).

    The other columns are draws of n inputs with replacement (Efron 1979), the same in every process. One product with
    the rows, or one scatter of them, sums over inputs in all replicates. Read only: it is cached.
    """
    replicates = max(100, min(REPLICATES, MEMORY // max(1, n)))
    generator = torch.Generator().manual_seed(seed)
    weights = torch.ones(n, 1 + replicates)
    for columns in weights[:, 1:].split(50, dim=1):
        drawn = torch.randint(n, (columns.shape[1], n), generator=generator)
        counts = torch.zeros(columns.shape[1], n).scatter_add_(1, drawn, torch.ones(1, 1).expand_as(drawn))
        columns.copy_(counts.T)
    return weights


def class_sums(classes: Tensor, weights: Tensor, count: int) -> Tensor:
    """Return the sum of rows of weights [n, B] over each class, of labels [n] in 0..count-1: [count, B] float64."""
    return torch.zeros(count, weights.shape[1]).index_add_(0, classes, weights).double()


def summary(values: Tensor) -> dict:
    """Return ``{"mean", "std", "ci"}`` of a metric [draws, 1 + B], one row a draw of the labels.

    Mean and deviation are over the draws (std None if there is one). The interval holds 95% of the replicates of the
    mean: it shows how much the choice of test inputs matters, not the choice of labels.
    """
    means = values.nanmean(0)
    low, high = torch.nanquantile(means[1:], torch.tensor([0.025, 0.975], dtype=means.dtype)).tolist()
    std = values[:, 0].std().item() if len(values) > 1 else None
    return {"mean": means[0].item(), "std": std, "ci": [low, high]}
