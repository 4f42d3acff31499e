"""Clips as a person sees them on paper: their frames beside each other."""

import torch
from torch import Tensor

SHOWN = 6  # frames of a strip, evenly spaced


def strip(clips: Tensor, shown: int = SHOWN) -> Tensor:
    """Return pictures [B, C, H, W'] of clips [B, T, C, H, W] in [0, 1]: ``shown`` frames at most, white between."""
    count, frames, channels, height, width = clips.shape
    chosen = torch.linspace(0, frames - 1, min(frames, shown)).round().long()
    gap = max(1, width // 16)
    canvas = clips.new_ones(count, channels, height, len(chosen) * (width + gap) - gap)
    for place, time in enumerate(chosen.tolist()):
        left = place * (width + gap)
        canvas[..., left : left + width] = clips[:, time]
    return canvas
