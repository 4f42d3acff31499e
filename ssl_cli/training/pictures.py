"""Images side by side in one PNG file."""

import io
import struct
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ssl_cli.system.atomic import replace

SIDE = 64  # pixels that a small image is enlarged to, at least
GAP = 2  # pixels between images


def save_grid(file: Path, images: Tensor) -> bytes:
    """Write rows of images as one PNG, small ones enlarged by whole pixels; its directory is made.

    Args:
        file: overwritten, as a whole or not at all.
        images: [rows, columns, C, H, W] in [0, 1], C = 1 or 3.

    Returns:
        The content of the file.
    """
    file.parent.mkdir(exist_ok=True)
    payload = io.BytesIO()
    grid(images).save(payload, format="PNG")
    replace(file, payload.getvalue())
    return payload.getvalue()


def size(png: bytes) -> dict[str, int]:
    """Return ``width`` and ``height`` of a PNG, as its header has them."""
    return dict(zip(("width", "height"), struct.unpack(">II", png[16:24]), strict=True))


def grid(images: Tensor) -> Image.Image:
    """Return rows of images [rows, columns, C, H, W] in [0, 1] as one RGB picture."""
    rows, columns, _, height, width = images.shape
    scale = max(1, -(-SIDE // max(height, width)))
    pixels = images.nan_to_num(0).clamp(0, 1).mul(255).round().byte().expand(-1, -1, 3, -1, -1)
    pixels = pixels.repeat_interleave(scale, 3).repeat_interleave(scale, 4)
    height, width = height * scale, width * scale
    canvas = torch.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, dtype=torch.uint8)
    for r in range(rows):
        for c in range(columns):
            top, left = r * (height + GAP), c * (width + GAP)
            canvas[top : top + height, left : left + width] = pixels[r, c].permute(1, 2, 0)
    return Image.fromarray(canvas.numpy())
