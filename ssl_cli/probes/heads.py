"""The result of a fit that answers for new inputs: a few plain tensors."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class LinearHead:
    """Class logits by one matrix."""

    weight: Tensor  # [d, C] float32
    bias: Tensor  # [C]

    def __call__(self, features: Tensor) -> Tensor:
        """Return logits [n, C] of features [n, d]."""
        return features @ self.weight + self.bias


@dataclass
class RidgeHead:
    """One number, by ridge regression on standardised features; all float64."""

    mean: Tensor  # [d] of the features
    std: Tensor  # [d]
    weight: Tensor  # [d, 1]; [d, 2] of a circular target: its cosine and sine
    bias: Tensor  # [1] or [2]
    period: Tensor  # [] of a circular target; 0: the target is not circular

    def __call__(self, features: Tensor) -> Tensor:
        """Return values [n] of features [n, d]; circular ones lie in [-period / 2, period / 2]."""
        z = (features - self.mean) / self.std @ self.weight + self.bias
        return decode(z, self.period.item() or None)


def encode(y: Tensor, period: float | None) -> Tensor:
    """Return the values to regress: [n, 1], or the cosine and sine [n, 2] of a circular target."""
    if period is None:
        return y[:, None]
    angle = y * (2 * math.pi / period)
    return torch.stack([angle.cos(), angle.sin()], 1)


def decode(z: Tensor, period: float | None) -> Tensor:
    """Undo `encode`, to [n]; circular values come back in [-period / 2, period / 2]."""
    return z[:, 0] if period is None else torch.atan2(z[:, 1], z[:, 0]) * (period / (2 * math.pi))
