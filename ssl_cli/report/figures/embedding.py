"""Features projected onto a plane."""

import numpy as np

FEWEST = 6  # images that make a picture
ROUNDING = 1e-6  # unit vectors that differ by less are one: t-SNE would divide by their spread
STEPS, EARLY = 750, 250  # of t-SNE's descent, and of these with exaggerated similarities
EXAGGERATION = 12.0
BISECTIONS = 40  # to a width: more change no digit of a picture


def pca(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first two principal components [n, 2], and the share of the variance that each has [2]."""
    centred = features.astype(np.float64) - features.mean(0)
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    directions *= np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(1)])[:, None]
    variance = values**2
    return centred @ directions[:2].T, variance[:2] / max(variance.sum(), 1e-300)


def tsne(features: np.ndarray) -> np.ndarray:
    """Return t-SNE [n, 2] (van der Maaten & Hinton 2008) of the cosine between features; of equal ones one place.

    Perplexity 30, or less of few images. Distances between far clusters mean nothing, neighbourhoods do. Of the few
    hundred images of a page the exact gradient is quicker than scikit-learn's approximation takes to be imported.
    """
    unit = _unit(features)
    if np.ptp(unit, axis=0).max() <= ROUNDING:
        return np.zeros((len(unit), 2), np.float32)
    wanted = similarities(unit, min(30.0, (len(unit) - 1) / 3)).astype(np.float32)
    at = pca(unit)[0]
    at = (1e-4 * at / at[:, 0].std()).astype(np.float32)
    rate = max(len(at) / (4 * EXAGGERATION), 50.0)  # as scikit-learn chooses it (Belkina et al. 2019)
    for step in range(STEPS):
        early = step < EARLY
        if step in (0, EARLY):
            speed, gains = np.zeros_like(at), np.ones_like(at)
        square = (at * at).sum(1)
        near = at @ at.T
        near *= -2
        near += square[:, None]
        near += 1 + square
        np.reciprocal(near, out=near)  # Student's t
        np.fill_diagonal(near, 0)
        pull = near * wanted
        pull *= EXAGGERATION if early else 1.0
        near *= near * (1 / near.sum())
        pull -= near
        gradient = 4 * (pull.sum(1)[:, None] * at - pull @ at)
        gains = np.where(speed * gradient < 0, gains + 0.2, gains * 0.8).clip(0.01)
        speed = (0.5 if early else 0.8) * speed - rate * gains * gradient
        at = at + speed
    return at


def similarities(unit: np.ndarray, perplexity: float) -> np.ndarray:
    """Return how similar t-SNE takes vectors [n, d] of length 1 to be: [n, n], symmetric, of sum 1.

    Each row's width is such that its entropy is the logarithm of the perplexity.
    """
    distance = np.maximum(2 - 2 * (unit @ unit.T), 0).astype(np.float64)
    np.fill_diagonal(distance, np.inf)
    distance -= distance.min(1, keepdims=True)
    np.fill_diagonal(distance, 0)  # so that it can be multiplied; its share is 0
    others = 1.0 - np.eye(len(unit))
    low, high = np.zeros((len(unit), 1)), np.full((len(unit), 1), np.inf)
    sharpness = np.ones_like(low)
    for _ in range(BISECTIONS):
        share = others * np.exp(-distance * sharpness)
        total = share.sum(1, keepdims=True)
        entropy = np.log(total) + sharpness * (distance * share).sum(1, keepdims=True) / total
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, sharpness, low), np.where(wide, high, sharpness)
        sharpness = np.where(np.isinf(high), 2 * sharpness, (low + np.minimum(high, 1e300)) / 2)
    share /= total
    return (share + share.T) / (2 * len(unit))


def umap(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return UMAP [n, 2] (McInnes et al. 2018) of the cosine between features; needs umap-learn."""
    import warnings

    from umap import UMAP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed means one thread
        return UMAP(n_neighbors=min(15, len(features) - 1), random_state=seed).fit_transform(_unit(features))


def _unit(features: np.ndarray) -> np.ndarray:
    return (features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)).astype(np.float32)
