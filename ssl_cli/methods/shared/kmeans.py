"""k-means of unit vectors, by scikit-learn or faiss, with no cluster left empty."""

import importlib.util
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ssl_cli.errors import UserError
from ssl_cli.methods.shared.heads import unit


def require(library: str) -> None:
    """Raise ``UserError`` if the library of `spherical_kmeans` is not known or not installed."""
    if library not in ("sklearn", "faiss"):
        raise UserError(f"method.kmeans={library} is not known; write method.kmeans=sklearn or method.kmeans=faiss")
    if importlib.util.find_spec(library) is None:
        raise UserError(
            f"method.kmeans={library} needs faiss, which is not installed; "
            "write method.kmeans=sklearn, or install it with pip install faiss-cpu"
        )


def spherical_kmeans(
    x: Tensor, k: int, iterations: int, seed: int, library: Literal["sklearn", "faiss"] = "sklearn"
) -> tuple[Tensor, Tensor]:
    """Cluster unit vectors by their cosine; the same input and seed give the same result.

    faiss scales the centroids to unit length in each iteration. scikit-learn has no spherical k-means: its centroids
    are means inside the sphere, scaled at the end. It runs on one thread, because the order of sums over threads would
    change the last bits.

    Args:
        x: [n, d] unit rows.
        k: clusters, at most n.
        iterations: of Lloyd's algorithm, at most.
        seed: of the initial centroids, which are rows of x.
        library: the one to use.

    Returns:
        Unit centroids [k, d] and the cluster [n] (int64) of each row, on the device of x. No cluster is empty.
    """
    rows = np.ascontiguousarray(x.cpu().numpy(), dtype=np.float32)
    means = _faiss(rows, k, iterations, seed) if library == "faiss" else _sklearn(rows, k, iterations, seed)
    centroids = unit(torch.from_numpy(means)).to(x)
    ids = (x @ centroids.T).argmax(dim=1)
    fill_empty(x, centroids, ids, seed)
    return centroids, ids


@torch.no_grad()
def fill_empty(x: Tensor, centroids: Tensor, ids: Tensor, seed: int) -> None:
    """Give each empty cluster half of the largest one, in place (Caron et al. 2018, section 3.3).

    As there, the empty cluster starts as a copy of the full cluster's centroid, moved a little in a random direction.
    Here the median along that direction divides the members, so neither half is empty, and both centroids become the
    means of their members.

    Args:
        x: [n, d] unit rows, n >= k.
        centroids: [k, d] unit rows.
        ids: [n] int64 cluster of each row.
        seed: of the directions.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = ids.bincount(minlength=len(centroids))
    for empty in (sizes == 0).nonzero().flatten().tolist():
        largest = int(sizes.argmax())
        members = (ids == largest).nonzero().squeeze(1)
        direction = torch.randn(x.shape[1], generator=generator, dtype=x.dtype).to(x.device)
        moved = members[(x[members] @ direction).argsort(stable=True)[: len(members) // 2]]
        ids[moved] = empty
        for cluster in (empty, largest):
            centroids[cluster] = unit(x[ids == cluster].mean(dim=0, keepdim=True))[0]
        sizes[empty], sizes[largest] = len(moved), len(members) - len(moved)


def _sklearn(rows: np.ndarray, k: int, iterations: int, seed: int) -> np.ndarray:
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters: see fill_empty
        return KMeans(k, init="random", n_init=1, max_iter=iterations, random_state=seed).fit(rows).cluster_centers_


def _faiss(rows: np.ndarray, k: int, iterations: int, seed: int) -> np.ndarray:
    import faiss

    # Use all points of each centroid: by default faiss takes a sample, and warns if there are few.
    kmeans = faiss.Kmeans(
        rows.shape[1],
        k,
        niter=iterations,
        spherical=True,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=len(rows),
    )
    kmeans.train(rows)
    return kmeans.centroids
