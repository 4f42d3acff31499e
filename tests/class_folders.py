"""Images in class folders that a network can tell apart: a class is what colour is brighter."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def write(root: Path, names: Sequence[str], count: int, side: int = 16) -> Iterator[tuple[Path, np.ndarray]]:
    """Write ``count`` images of noise for each of up to three classes, and yield their files and pixels [h, w, 3]."""
    random = np.random.default_rng(0)
    for label, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = random.integers(0, 200, (side, side, 3), dtype=np.uint8)
            pixels[..., label] += random.integers(0, 56, dtype=np.uint8)
            Image.fromarray(pixels).save(file := root / name / f"{i}.png")
            yield file, pixels
