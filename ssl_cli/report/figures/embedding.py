"""Features projected onto a plane."""

import numpy as np

FEWEST = 6  # inputs that make a picture
ROUNDING = 1e-6  # unit vectors that differ by less are one: scikit-learn divides by their spread, and crashes


def pca(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first two principal components [n, 2], and the share of the variance that each has [2]."""
    centred = features.astype(np.float64) - features.mean(0)
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    directions *= np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(1)])[:, None]
    variance = values**2
    return centred @ directions[:2].T, variance[:2] / max(variance.sum(), 1e-300)


def tsne(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return t-SNE [n, 2] (van der Maaten & Hinton 2008) of the cosine between features; of equal ones one place.

    Perplexity 30, or less of few inputs. Distances between far clusters mean nothing, neighbourhoods do.
    """
    from sklearn.manifold import TSNE

    unit = _unit(features)
    if np.ptp(unit, axis=0).max() <= ROUNDING:
        return np.zeros((len(unit), 2), np.float32)
    perplexity = min(30.0, (len(features) - 1) / 3)
    return TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(unit)


def umap(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return UMAP [n, 2] (McInnes et al. 2018) of the cosine between features; needs umap-learn."""
    import warnings

    from umap import UMAP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed means one thread
        return UMAP(n_neighbors=min(15, len(features) - 1), random_state=seed).fit_transform(_unit(features))


def _unit(features: np.ndarray) -> np.ndarray:
    return (features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)).astype(np.float32)
