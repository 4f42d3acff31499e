"""Ridge regression of several targets with several penalties, solved in closed form by one decomposition."""

import torch
from torch import Tensor


def fit_ridge(x: Tensor, y: Tensor, penalties: Tensor) -> tuple[Tensor, Tensor]:
    """Minimise ``mean |y - x w - b|^2 + penalty |w|^2`` for every penalty; b is not penalised.

    In scikit-learn's terms a penalty is alpha / n.

    Args:
        x: [n, d] float64.
        y: [n, k] float64.
        penalties: [P] float64, > 0.

    Returns:
        w [P, d, k] and b [P, k].
    """
    x_mean, y_mean = x.mean(0), y.mean(0)
    x, y, n = x - x_mean, y - y_mean, len(x)
    if n > x.shape[1]:
        values, basis = torch.linalg.eigh(x.T @ x / n)  # [d], [d, d]
        scores = basis.T @ (x.T @ y / n)
    else:  # by the kernel: fewer rows than features
        values, u = torch.linalg.eigh(x @ x.T / n)  # [n], [n, n]
        basis, scores = x.T @ u / n, u.T @ y
    weight = basis @ (scores / (values.clamp(min=0)[:, None] + penalties[:, None, None]))
    return weight, y_mean - x_mean @ weight
