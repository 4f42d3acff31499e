"""A folder of photos of unlike shapes, and what they are as a batch."""

import numpy as np
import torch
from PIL import Image

from ssl_cli.photos import Photos

SHAPES = ((30, 20), (20, 31), (45, 18), (24, 24), (19, 40), (26, 22))  # width, height


def write(root, count=24, classes=2):
    """Write noise, coarse enough that a resize keeps some of it, into class folders; the names tell the order."""
    random = np.random.default_rng(0)
    for i in range(count):
        place = root / f"class{i % classes}"
        place.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        small.resize(SHAPES[i % len(SHAPES)], Image.Resampling.BICUBIC).save(place / f"{i:03}.png")
    return root


def photos(sizes, channels=3, seed=0) -> Photos:
    """Return noise of these heights and widths."""
    generator = torch.Generator().manual_seed(seed)
    heights, widths = torch.tensor(sizes).T.contiguous()
    flat = torch.randint(0, 256, (int((heights * widths).sum()) * channels,), dtype=torch.uint8, generator=generator)
    return Photos(flat, heights, widths, channels, min(map(min, sizes)))
