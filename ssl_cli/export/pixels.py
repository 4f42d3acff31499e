"""From an image of any size to what the network sees, in operations that every runtime of ONNX has."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def resampling(length: Tensor, side: Tensor, places: Tensor, size: int) -> Tensor:
    """Return the matrix [size, length] that resizes the middle ``side`` pixels of a row to ``size``.

    Bicubic (a = -0.5) and antialiased, with Pillow's coefficients; pixels beyond the middle count at its borders, as
    there. Where ``side`` is ``size`` it picks pixels and changes none.

    Args:
        length: scalar, of the row, in pixels.
        side: scalar, at most ``length``.
        places: [length] the numbers 0, 1, ... of the pixels.
        size: of the result.
    """
    scale = side / size
    centres = (length - side) / 2 + (torch.arange(size, device=places.device) + 0.5) * scale
    t = ((places + 0.5 - centres[:, None]) / scale.clamp(min=1)).abs()
    near, far = ((1.5 * t - 2.5) * t) * t + 1, ((-0.5 * t + 2.5) * t - 4) * t + 2
    weights = torch.where(t < 1, near, torch.where(t < 2, far, torch.zeros_like(t)))
    return weights / weights.sum(1, keepdim=True)


class CentreSquare(nn.Module):
    """The centre square of uint8 images, resized and normalised as the run's images were.

    Between the steps nothing is rounded to whole levels, which Pillow does: of an image that has to be resized values
    differ from those that a run has stored by half a level or so, and those of an image of the right size by nothing.

    Args:
        size: side of the square, in pixels.
        mean: per channel, of pixels in [0, 1].
        std: likewise.
    """

    def __init__(self, size: int, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.size = size
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return [B, C, size, size] float32 of images [B, H, W, C] uint8."""
        x = images.permute(0, 3, 1, 2).float()
        height, width = (torch.scalar_tensor(n, dtype=torch.float32, device=x.device) for n in images.shape[1:3])
        rows, columns = (torch.arange(n, device=x.device) for n in images.shape[1:3])
        side = torch.minimum(height, width)
        x = (resampling(height, side, rows, self.size) @ x).clamp(0, 255)
        x = (x @ resampling(width, side, columns, self.size).T).clamp(0, 255)
        return (x / 255 - self.mean) / self.std
