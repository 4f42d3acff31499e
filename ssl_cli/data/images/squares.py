"""A network's view of images that are stored larger, or whole: their centre squares at one size."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.photos import Photos


class Squares:
    """Works like a tensor [N, C, size, size] uint8; an index makes its squares on demand.

    Resizing is bicubic, antialiased and rounded to bytes after each of its two passes, as Pillow does it.

    Args:
        stored: [N, C, H, H] uint8, or whole images.
        size: of the squares, in pixels.
    """

    dtype = torch.uint8

    def __init__(self, stored: Tensor | Photos, size: int):
        self.stored = stored
        channels = stored.channels if isinstance(stored, Photos) else stored.shape[1]
        self.shape = torch.Size((len(stored), channels, size, size))

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, key: Any) -> Tensor:
        if isinstance(key, int) or (isinstance(key, Tensor) and key.ndim == 0):
            return self[torch.as_tensor(key).view(1)][0]
        rows = self.stored[key]
        rows = rows.squares() if isinstance(rows, Photos) else rows
        if rows.shape[1:] == self.shape[1:]:
            return rows
        if not len(rows):
            return rows.new_empty(0, *self.shape[1:])
        return F.interpolate(rows, self.shape[2:], mode="bicubic", antialias=True, align_corners=False)
