"""Raw pixels as features: the baseline that any representation of images has to beat."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from ssl_cli.data.base import Raw

# Largest side of an image whose pixels serve as features: at 32, a logistic regression on CIFAR takes minutes on a CPU.
PIXELS_SIDE = 16


def pixels(images: Tensor, positions: Tensor, batch_size: int = 4096) -> Tensor:
    """Return raw pixels as features.

    Args:
        images: [N, C, H, W] uint8.
        positions: [n] int64.
        batch_size: images converted at a time.

    Returns:
        [n, C h w] float32 in [0, 1] with h = min(H, 16) and w = min(W, 16); larger images are averaged over areas.
    """
    size = [min(side, PIXELS_SIDE) for side in images.shape[2:]]
    features = torch.empty(len(positions), images.shape[1] * size[0] * size[1])
    for out, batch in zip(features.split(batch_size), positions.cpu().split(batch_size), strict=True):
        x = images[batch].float() / 255
        out.copy_(nn.functional.adaptive_avg_pool2d(x, size).flatten(1))
    return features


class Pixels(Raw):
    """The raw pixels as features; for normalised images (an augmented view) it undoes the normalisation."""

    name: ClassVar[str] = "pixels"

    def __init__(self, channels: int, side: int, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.size = min(side, PIXELS_SIDE)
        self.dim = channels * self.size**2
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return features [B, C h w] of normalised images [B, C, H, W]."""
        return nn.functional.adaptive_avg_pool2d(images * self.std + self.mean, self.size).flatten(1)

    def of(self, inputs: Tensor, positions: Tensor) -> Tensor:
        """Return the features of stored images; a cache would not be faster."""
        return pixels(inputs, positions)
