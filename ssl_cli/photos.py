"""Images of unlike shapes, side by side in one buffer: what crops are cut from where photos are stored whole."""

from typing import Any

import torch
from torch import Tensor


class Photos:
    """Images of equal shorter sides, each with its own aspect ratio; indexed as a tensor of images would be.

    ``photos[3]`` is an image [C, H, W]; ``photos[positions]`` and ``photos[a:b:c]`` are `Photos` that share the buffer.
    Where each image lies, and its shape, stay on the CPU, where crops are drawn.

    Args:
        flat: [bytes] uint8, the images [C, H, W] one after the other, in memory or memory-mapped.
        heights: [N] int64, in pixels.
        widths: [N] int64.
        channels: of each image.
        side: the shorter side of each image, in pixels.
        starts: [N] int64, where each begins in ``flat``; None: they follow each other without a gap.
    """

    dtype = torch.uint8

    def __init__(
        self, flat: Tensor, heights: Tensor, widths: Tensor, channels: int, side: int, starts: Tensor | None = None
    ):
        self.flat, self.heights, self.widths, self.channels, self.side = flat, heights, widths, channels, side
        self.lengths = heights * widths * channels
        self.starts = self.lengths.cumsum(0) - self.lengths if starts is None else starts

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, key: Any) -> "Photos | Tensor":
        if isinstance(key, int) or (isinstance(key, Tensor) and key.ndim == 0):
            start, length = int(self.starts[key]), int(self.lengths[key])
            return self.flat[start : start + length].view(self.channels, int(self.heights[key]), int(self.widths[key]))
        return Photos(self.flat, self.heights[key], self.widths[key], self.channels, self.side, self.starts[key])

    @property
    def nbytes(self) -> int:
        """Bytes of these images, without what else is in the buffer."""
        return int(self.lengths.sum())

    @property
    def device(self) -> torch.device:
        """Where the pixels are."""
        return self.flat.device

    def repeat(self, times: int) -> "Photos":
        """Return all images again and again, as ``tensor.repeat(times, 1, 1, 1)`` does; nothing is copied."""
        return self[torch.arange(len(self)).repeat(times)]

    def squares(self) -> Tensor:
        """Return the centre squares [N, C, side, side], placed as torchvision's ``CenterCrop`` places them."""
        side = self.side
        out = self.flat.new_empty(len(self), self.channels, side, side)
        for image, square in zip(self, out, strict=True):
            top, left = (round((length - side) / 2) for length in image.shape[1:])
            square.copy_(image[:, top : top + side, left : left + side])
        return out

    def packed(self) -> "Photos":
        """Return these images in a buffer of their own, read now; themselves if nothing else is in theirs."""
        if self.nbytes == self.flat.numel():
            return self
        spans = zip(self.starts.tolist(), self.lengths.tolist(), strict=True)
        flat = torch.cat([self.flat[start : start + length] for start, length in spans])
        return self._in(flat)

    def pin_memory(self) -> "Photos":
        """Return them packed in pinned memory."""
        packed = self.packed()
        return packed._in(packed.flat.pin_memory(), packed.starts)

    def to(self, device: torch.device, dtype: torch.dtype = torch.uint8, non_blocking: bool = False) -> "Photos":
        """Return them on a device; only their own bytes travel."""
        if torch.device(device).type == self.device.type:
            return self
        packed = self.packed()
        return packed._in(packed.flat.to(device, dtype, non_blocking=non_blocking), packed.starts)

    def _in(self, flat: Tensor, starts: Tensor | None = None) -> "Photos":
        return Photos(flat, self.heights, self.widths, self.channels, self.side, starts)
