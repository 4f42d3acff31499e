"""Clips as a person sees them on paper: their frames beside each other."""

import torch
from torch import Tensor

SHOWN = 6  # frames of a strip, at most
IN_SHEET = 4


def evenly(frames: int, most: int) -> Tensor:
    """Return which frames to show of so many, evenly spaced: [min(frames, most)] int64."""
    return torch.linspace(0, frames - 1, min(frames, most)).round().long()


def strip(clips: Tensor, shown: int = SHOWN) -> Tensor:
    """Return pictures [B, C, H, W'] of clips [B, T, C, H, W] in [0, 1]: ``shown`` frames at most, white between."""
    count, frames, channels, height, width = clips.shape
    chosen = evenly(frames, shown)
    gap = max(1, width // 16)
    canvas = clips.new_ones(count, channels, height, len(chosen) * (width + gap) - gap)
    for place, time in enumerate(chosen.tolist()):
        left = place * (width + gap)
        canvas[..., left : left + width] = clips[:, time]
    return canvas


def sheet(clips: Tensor) -> Tensor:
    """Return four frames of each clip [B, T, C, H, H], evenly spaced, as a square [B, C, 2 H + gap, 2 H + gap], the
    first two above, white between them; of bytes or of floats in [0, 1].
    """
    count, frames, channels, side = clips.shape[:4]
    gap = max(1, side // 16)
    white = 255 if clips.dtype == torch.uint8 else 1
    canvas = clips.new_full((count, channels, 2 * side + gap, 2 * side + gap), white)
    for place, time in enumerate(torch.linspace(0, frames - 1, IN_SHEET).round().long().tolist()):
        top, left = (index * (side + gap) for index in divmod(place, 2))
        canvas[:, :, top : top + side, left : left + side] = clips[:, time]
    return canvas
