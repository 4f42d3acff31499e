"""A folder of JPEG files to measure on: the user's, or a made-up one."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 10


def folder(given: str | None, count: int, size: tuple[int, int] = (32, 32), distinct: int | None = None) -> Path:
    """Return ``given``, or a folder train/<class>/*.jpg of ``count`` made-up images (width, height), made once.

    Blobs of colour with some noise: about as many bytes as a photo of that size. With ``distinct`` only so many are
    drawn, the others are copies.
    """
    if given:
        return Path(given).expanduser().resolve()
    root = Path(tempfile.gettempdir()) / f"ssl-benchmark-{count}x{size[0]}x{size[1]}"
    if (root / "done").exists():
        return root
    random = np.random.default_rng(0)
    for i in range(count):
        place = root / "train" / f"class{i % CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        if distinct and i >= distinct:
            first = i % distinct
            shutil.copy(root / "train" / f"class{first % CLASSES}" / f"{first:06}.jpg", place / f"{i:06}.jpg")
            continue
        coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize(size, Image.BICUBIC)
        noisy = np.asarray(coarse, np.int16) + random.integers(-12, 13, (size[1], size[0], 3), dtype=np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(place / f"{i:06}.jpg", quality=75)
    (root / "done").touch()
    return root
