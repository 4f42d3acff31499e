"""ProbCover (Yehuda et al. 2022, arXiv:2205.11320): inputs whose neighbourhoods cover most of the others."""

import torch
from torch import Tensor

from ssl_cli.pick.geometry import clusters, distances
from ssl_cli.probes.progress import measuring, tracked

PURE = 0.95  # share of neighbourhoods that lie in one cluster: the paper's rule for their radius


def coverage(x: Tensor, known: Tensor, count: int, classes: int, seed: int) -> Tensor:
    """Return ``count`` rows of ``x`` in the order in which they are picked, so that fewer are the first of more.

    Each has the most inputs within the radius that no input with a label, picked before, or in this order covers. Once
    all are covered, the next one is the farthest from all of these (Sener & Savarese 2018, arXiv:1708.00489).

    Args:
        x: [n, d] features of unit length, of inputs without a label.
        known: [m, d] of those that have one.
        count: 1..n.
        classes: clusters that the radius is chosen by.
        seed: of k-means.
    """
    everything = torch.cat([known, x])
    with measuring("choosing the radius"):
        within = radius(everything, clusters(everything, classes, seed))
    nearest = torch.full((len(everything),), torch.inf)  # distance to what is covered from
    for part, found in distances(everything, known) if len(known) else ():
        nearest[part] = found.amin(1)
    uncovered = nearest > within
    with measuring("counting what is covered"):
        gains = _within(x, everything[uncovered], within)
    free, picked = torch.ones(len(x), dtype=torch.bool), []
    for _ in tracked(range(count)):
        worth = gains if uncovered.any() else nearest[len(known) :]
        row = int(torch.where(free, worth, -1).argmax())
        picked.append(row)
        free[row] = False
        _, found = next(distances(x[row : row + 1], everything))
        nearest = torch.minimum(nearest, found[0])
        nearest[len(known) + row] = 0.0  # whatever rounding makes of it
        newly = uncovered & (nearest <= within)
        uncovered &= ~newly
        gains -= _within(x, everything[newly], within)
    return torch.tensor(picked)


def radius(x: Tensor, cluster: Tensor) -> float:
    """Return the largest radius at which the neighbourhoods of `PURE` of the rows lie in one cluster."""
    other = torch.full((len(x),), torch.inf)  # distance to the nearest row of another cluster
    for part, found in distances(x, x):
        found[cluster[part, None] == cluster] = torch.inf
        other[part] = found.amin(1)
    far = other[other.isfinite()]
    return float(far.sort().values[int((1 - PURE) * len(far))]) * (1 - 1e-6) if len(far) else 0.0


def _within(x: Tensor, others: Tensor, within: float) -> Tensor:
    """Return for each row [n] how many others are within the radius."""
    counts = torch.zeros(len(x))
    if len(others):
        for part, found in distances(x, others):
            counts[part] = (found <= within).sum(1).float()
    return counts
