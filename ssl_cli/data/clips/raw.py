"""Frames averaged down, and their differences: the baseline that any representation of clips has to beat."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from ssl_cli.data.base import Raw

FRAMES, SIDE = 4, 8  # what is averaged down to: a solver takes minutes over more numbers


def averaged(clips: Tensor) -> Tensor:
    """Return features [B, d] float of clips [B, T, C, H, W] in [0, 1].

    Each clip is averaged over areas down to at most 4 frames of 8 x 8 pixels; beside these are the differences of
    frames that follow each other.
    """
    frames, (height, width) = clips.shape[1], clips.shape[3:]
    size = min(frames, FRAMES), min(height, SIDE), min(width, SIDE)
    small = nn.functional.adaptive_avg_pool3d(clips.transpose(1, 2), size)  # [B, C, T', h, w]
    return torch.cat([small, small.diff(dim=2)], dim=2).flatten(1)


class Frames(Raw):
    """Frames averaged down and their differences; of normalised clips (a changed view) it undoes the normalisation."""

    name: ClassVar[str] = "frames"

    def __init__(self, channels: int, frames: int, side: int, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.dim = (2 * min(frames, FRAMES) - 1) * channels * min(side, SIDE) ** 2
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, clips: Tensor) -> Tensor:
        """Return features [B, d] of normalised clips [B, T, C, H, W]."""
        return averaged(clips * self.std + self.mean)

    def of(self, inputs: Tensor, positions: Tensor, batch_size: int = 256) -> Tensor:
        """Return the features of stored clips [N, T, C, H, W] uint8; reading them is as fast as keeping them."""
        features = torch.empty(len(positions), self.dim)
        for out, batch in zip(features.split(batch_size), positions.cpu().split(batch_size), strict=True):
            out.copy_(averaged(inputs[batch].float() / 255))
        return features
