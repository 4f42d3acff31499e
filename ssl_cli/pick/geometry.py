"""Distances and clusters of features of unit length, a bounded part of them at a time."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.probes.progress import tracked

AT_A_TIME = 1 << 24  # distances that are held at a time
FEW, STARTS = 50, 10  # up to so many clusters k-means begins anew so often, and the best is taken; beyond, once


def unit(x: Tensor) -> Tensor:
    """Return rows [n, d] of unit length; what is 0 or no number stays at 0."""
    return F.normalize(x.float().nan_to_num(), dim=1)


def distances(a: Tensor, b: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield Euclidean distances [r, m] of some rows of ``a`` [n, d] to ``b`` [m, d], both of unit length."""
    step = max(1, AT_A_TIME // max(1, len(b)))
    for start in tracked(range(0, len(a), step)):
        rows = slice(start, min(start + step, len(a)))
        yield rows, (2 - 2 * a[rows] @ b.T).clamp(min=0).sqrt()


def clusters(x: Tensor, count: int, seed: int) -> Tensor:
    """Return the cluster [n] int64 of rows [n, d] by k-means; some of ``count`` are empty where rows are equal."""
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    starts = STARTS if count <= FEW else 1
    with threadpool_limits(1), warnings.catch_warnings():  # the order in which threads add up would show
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(min(count, len(x)), n_init=starts, random_state=seed).fit(x.numpy())
    return torch.from_numpy(found.labels_).long()
