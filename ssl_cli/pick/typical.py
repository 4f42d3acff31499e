"""TypiClust (Hacohen et al. 2022, arXiv:2202.02794): the most typical input of each cluster that has no label yet."""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from ssl_cli.pick.geometry import clusters, distances
from ssl_cli.probes.progress import tracked

NEIGHBOURS = 20  # whose mean distance is the inverse of typicality
SMALLEST = 5  # clusters of so many inputs, or fewer, are left out
MOST = 500  # clusters


def typical(x: Tensor, known: Tensor, count: int, first: int, seed: int) -> Tensor:
    """Return ``count`` rows of ``x`` in the order in which they are picked, so that fewer are the first of more.

    The paper makes as many clusters as there will be labels. Here that number doubles: ``first`` inputs are picked
    from as many clusters, those up to 2 ``first`` from twice as many, and so on, each beside those with a label.

    Args:
        x: [n, d] features of unit length, of inputs without a label.
        known: [m, d] of those that have one.
        count: 1..n.
        first: inputs of the first round.
        seed: of k-means.
    """
    everything, taken = torch.cat([known, x]), torch.zeros(len(known) + len(x), dtype=torch.bool)
    taken[: len(known)] = True
    picked: list[int] = []
    sizes = [first]
    while sizes[-1] < count:
        sizes.append(2 * sizes[-1])
    for size in tracked(sizes):
        cluster = clusters(everything, min(len(known) + size, MOST), seed)
        picked += islice(_round(everything, cluster, taken), min(size, count) - len(picked))
    return torch.tensor(picked) - len(known)


def _round(x: Tensor, cluster: Tensor, taken: Tensor) -> Iterator[int]:
    """Yield row after row, and mark it as taken: clusters with fewest such rows come first, of these the largest."""
    sizes = cluster.bincount()
    had = cluster[taken].bincount(minlength=len(sizes))
    order = sorted(range(len(sizes)), key=lambda c: (int(had[c]), -int(sizes[c])))
    for left in ([c for c in order if sizes[c] > SMALLEST], order):
        while left := [c for c in left if not taken[cluster == c].all()]:
            for c in left:
                row = _most_typical(x, (~taken & (cluster == c)).nonzero().squeeze(1))
                taken[row] = True
                yield row


def _most_typical(x: Tensor, rows: Tensor) -> int:
    """Return which of the rows has the smallest mean distance to its nearest neighbours among them."""
    k, mean = min(NEIGHBOURS, len(rows) // 2), torch.zeros(len(rows))
    if k:
        for part, found in distances(x[rows], x[rows]):
            found[range(len(found)), range(part.start, part.stop)] = torch.inf  # not to itself
            mean[part] = found.topk(k, dim=1, largest=False).values.mean(1)
    return int(rows[mean.argmin()])
