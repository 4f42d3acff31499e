"""The usual small benchmarks, read and fetched by torchvision."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_cli.data import folder
from ssl_cli.data.cache import shown, user_cache_dir
from ssl_cli.data.images import ImageData, resize
from ssl_cli.errors import UserError

_BY_FLAG = {"train": {"train": True}, "test": {"train": False}}
SETS: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {  # name -> torchvision's class, its arguments by split
    "cifar10": ("CIFAR10", _BY_FLAG),
    "cifar100": ("CIFAR100", _BY_FLAG),
    "mnist": ("MNIST", _BY_FLAG),
    "fashion_mnist": ("FashionMNIST", _BY_FLAG),
    "svhn": ("SVHN", {"train": {"split": "train"}, "test": {"split": "test"}}),
    "stl10": ("STL10", {"train": {"split": "train+unlabeled"}, "test": {"split": "test"}}),
    "eurosat": ("EuroSAT", {"train": {}}),
}


def load(name: str, root: str | None = None, storage_size: int | None = None, download: bool = True) -> ImageData:
    """Load one of torchvision's data sets; the first time, fetch it.

    STL-10's 100,000 unlabelled images are training images with label -1. EuroSAT defines no test split.

    Args:
        name: a key of ``SETS``.
        root: the folder of the files, as torchvision lays them out; by default in the user's cache directory.
        storage_size: side of the stored images, in pixels; by default as published.
        download: whether missing files may be fetched.

    Raises:
        UserError: if the files are missing and cannot be fetched, or are damaged.
    """
    import torchvision.datasets

    if storage_size is not None and not isinstance(storage_size, int):
        raise UserError(f"dataset.storage_size={storage_size} is neither a number of pixels nor null")
    kind, parts = SETS[name]
    source = getattr(torchvision.datasets, kind)
    where = Path(root).expanduser() if root else user_cache_dir() / "datasets"

    def read(place: Path, download: bool) -> dict[str, Any]:
        return {split: source(place, download=download, **kwargs) for split, kwargs in parts.items()}

    try:
        datasets = read(where, download=False)
    except Exception as absent:  # damaged files make torchvision's readers raise nearly anything
        advice = f"put {_files(source)} into {shown(where)}"
        if not download:
            raise UserError(f"{name}: {_reason(absent)}; write dataset.download=true, or {advice}") from absent
        try:
            _fetch(read, where, _archives(source))
            datasets = read(where, download=False)
        except Exception as error:
            raise UserError(f"{name} cannot be downloaded ({_reason(error)}); {advice}") from error

    if name == "eurosat":
        images = folder.load(str(where / "eurosat/2750"), "classes", storage_size or 64, channels=3)
        return ImageData(name, images.images, images.labels, images.classes, images.splits, files=images.files)
    pixels = [resize(_pixels(dataset.data), storage_size or dataset.data.shape[1 if name != "stl10" else 2]) for dataset in datasets.values()]
    labels = [torch.as_tensor(np.asarray(getattr(d, "targets", getattr(d, "labels", None))).astype(np.int64)) for d in datasets.values()]
