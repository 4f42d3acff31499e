"""Features projected onto a plane."""

import numpy as np

FEWEST = 6  # images that make a picture
ROUNDING = 1e-6  # unit vectors that differ by less are one
EXAGGERATION = 12.0  # of t-SNE's affinities in its early steps
EARLY, LATE = 250, 500  # its steps


def pca(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first two principal components [n, 2], and the share of the variance that each has [2]."""
    centred = features.astype(np.float64) - features.mean(0)
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    directions *= np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(1)])[:, None]
    variance = values**2
    return centred @ directions[:2].T, variance[:2] / max(variance.sum(), 1e-300)


def tsne(features: np.ndarray) -> np.ndarray:
    """Return t-SNE [n, 2] (van der Maaten & Hinton 2008) of the cosine between features; of equal ones one place.

    Perplexity 30, or less of few images. Distances between far clusters mean nothing, neighbourhoods do. All pairs
    count: for the few hundred images of a page this takes less time than to import a library with an approximation.
    """
    unit = _unit(features)
    if np.ptp(unit, axis=0).max() <= ROUNDING:
        return np.zeros((len(unit), 2), np.float32)
    n, rate = len(unit), max(len(unit) / EXAGGERATION / 4, 50.0)  # Belkina et al. 2019
    p = affinities(unit, min(30.0, (n - 1) / 3))
    at = pca(unit)[0].astype(np.float32)
    at *= 1e-4 / at[:, 0].std()
    for steps, exaggeration, momentum in ((EARLY, EXAGGERATION, 0.5), (LATE, 1.0, 0.8)):
        velocity, gains = np.zeros_like(at), np.ones_like(at)
        for _ in range(steps):
            near = _kernel(at)
            force = (exaggeration * p - near / near.sum()) * near
            gradient = 4 * (force.sum(1, keepdims=True) * at - force @ at)
            gains = np.where(velocity * gradient < 0, gains + 0.2, gains * 0.8).clip(min=0.01)
            velocity = momentum * velocity - rate * gains * gradient
            at = at + velocity
    return at


def affinities(x: np.ndarray, perplexity: float) -> np.ndarray:
    """Return how much each pair of rows of x [n, d] belongs together, [n, n] with a sum of 1 and a diagonal of 0."""
    distance = np.maximum((x**2).sum(1)[:, None] + (x**2).sum(1) - 2 * x @ x.T, 0).astype(np.float64)
    np.fill_diagonal(distance, np.inf)
    distance -= distance.min(1, keepdims=True)  # no change but that nothing underflows
    low, high = np.zeros((len(x), 1)), np.full((len(x), 1), np.inf)
    precision = np.ones((len(x), 1))
    for _ in range(64):  # the entropy of each row falls with its precision: halve the interval
        p = np.exp(-distance * precision)
        p /= p.sum(1, keepdims=True)
        flat = -(p * np.log(np.maximum(p, 1e-300))).sum(1, keepdims=True) > np.log(perplexity)
        low, high = np.where(flat, precision, low), np.where(flat, high, precision)
        precision = np.where(np.isinf(high), 2 * precision, (low + high) / 2)
    p = p + p.T
    return (p / p.sum()).astype(np.float32)


def _kernel(at: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + squared distance) of each pair of points [n, 2]; 0 of a point with itself."""
    length = (at**2).sum(1)
    near = 1 / (1 + np.maximum(length[:, None] + length - 2 * at @ at.T, 0))
    np.fill_diagonal(near, 0)
    return near


def umap(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return UMAP [n, 2] (McInnes et al. 2018) of the cosine between features; needs umap-learn."""
    import warnings

    from umap import UMAP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed means one thread
        return UMAP(n_neighbors=min(15, len(features) - 1), random_state=seed).fit_transform(_unit(features))


def _unit(features: np.ndarray) -> np.ndarray:
    return (features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)).astype(np.float32)
