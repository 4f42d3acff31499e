"""The 1,797 handwritten digits that scikit-learn ships: 8x8 pixels, ten classes, no download."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from ssl_cli.data.images.base import ImageData, resize, to_channels


def load(storage_size: int = 16, channels: int | None = None) -> ImageData:
    """Load the digits (Alpaydin & Kaynak 1998, UCI optical recognition of handwritten digits, test part).

    Args:
        storage_size: side of the stored images, in pixels; enlarged from 8, bicubic.
        channels: 1 (grey), 3 (RGB), or None: as published.
    """
    pixels, labels = _read()
    images = torch.from_numpy(pixels).float().reshape(-1, 1, 8, 8) * (
        255 / 16
    )  # ink counts 0..16 -> grey levels 0..255
    return ImageData(
        name="digits",
        images=to_channels(resize(images.round().to(torch.uint8), storage_size), channels),
        labels=torch.from_numpy(labels.astype(np.int64)),
        classes=tuple("0123456789"),
        splits={"train": torch.arange(len(images))},
    )


def _read() -> tuple[np.ndarray, np.ndarray]:
    """Return [1797, 64] ink counts and [1797] labels, from the file itself: importing scikit-learn is slow."""
    spec = find_spec("sklearn")
    path = Path(spec.origin).parent / "datasets/data/digits.csv.gz" if spec and spec.origin else None
    if path and path.is_file():
        table = np.loadtxt(path, delimiter=",", dtype=np.float32)
        return table[:, :-1], table[:, -1]
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)
