"""The usual small benchmarks, read and fetched by torchvision."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_cli.data.images import folder
from ssl_cli.data.images.base import ImageData, resize, to_channels
from ssl_cli.data.images.files.cache import shown, user_cache_dir
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


def load(
    name: str,
    root: str | None = None,
    storage_size: int | None = None,
    channels: int | None = None,
    download: bool = True,
    fold: int | None = None,
) -> ImageData:
    """Load one of torchvision's data sets; the first time, fetch it.

    STL-10's 100,000 unlabelled images are training images with label -1. EuroSAT defines no test split.

    Args:
        name: a key of ``SETS``.
        root: the folder of the files, as torchvision lays them out; by default in the user's cache directory.
        storage_size: side of the stored images, in pixels; by default as published.
        channels: 1 (grey), 3 (RGB), or None: as published.
        download: whether it may fetch missing files.
        fold: of STL-10, 0 to 9: only the 1,000 training images of this fold keep their label, the other 4,000 get -1.
            Published accuracies are means over the ten (Coates et al. 2011).

    Raises:
        UserError: if the files are missing and cannot be fetched, or are damaged.
    """
    import torchvision.datasets

    if storage_size is not None and not isinstance(storage_size, int):
        raise UserError(f"dataset.storage_size={storage_size} is neither a number of pixels nor null")
    if fold is not None and (isinstance(fold, bool) or fold not in range(10)):
        raise UserError(
            f"dataset.fold={fold} is not one of STL-10's ten folds; write dataset.fold=0 to 9, or null for all"
        )
    kind, arguments = SETS[name]
    source = getattr(torchvision.datasets, kind)
    place = Path(root).expanduser() if root else user_cache_dir(lasting=True) / "datasets"

    def read(where: Path, download: bool = False) -> dict[str, Any]:
        return {split: source(where, download=download, **kwargs) for split, kwargs in arguments.items()}

    try:
        parts = read(place)
    except Exception as missing:  # torchvision raises nearly anything for damaged files
        archives, address = _archives(source)
        advice = f"put {', '.join(archives)} (from {address}) into {shown(place)}"
        if not download:
            remedy = f"write dataset.download=true; to fetch nothing, first {advice}"
            raise UserError(f"{name} cannot be read: {_reason(missing)}; {remedy}") from missing
        try:
            _fetch(read, place, archives)
            parts = read(place)
        except Exception as error:
            damaged = " or is damaged" if any((place / file).exists() for file in archives) else ""
            raise UserError(
                f"{name} is not in {shown(place)}{damaged} and cannot be downloaded ({_reason(error)}); {advice}"
            ) from error

    if name == "eurosat":  # the only one with image files
        data = folder.load(str(place / "eurosat" / "2750"), "classes", storage_size or 64, channels or 3)
        return ImageData(name, data.images, data.labels, data.classes, data.splits, files=data.files)
    images = [_pixels(part, storage_size) for part in parts.values()]
    labels = [torch.as_tensor(np.asarray(_labels(part)).astype(np.int64)) for part in parts.values()]
    if fold is not None:
        labels[0][~_in_fold(place / "stl10_binary" / "fold_indices.txt", fold, len(labels[0]))] = -1
    ends = np.cumsum([0, *map(len, images)])
    return ImageData(
        name=name,
        images=to_channels(torch.cat(images), channels),
        labels=torch.cat(labels),
        classes=tuple(getattr(parts["train"], "classes", "0123456789")),
        splits={split: torch.arange(*ends[i : i + 2].tolist()) for i, split in enumerate(parts)},
    )


def _pixels(part: Any, size: int | None) -> Tensor:
    """Return the images of a torchvision data set as [N, C, size, size] uint8."""
    pixels = torch.as_tensor(np.asarray(part.data))
    if pixels.ndim == 3:  # [N, H, W]
        pixels = pixels[:, None]
    elif pixels.shape[-1] == 3:  # [N, H, W, 3]
        pixels = pixels.permute(0, 3, 1, 2)
    return resize(pixels, size or pixels.shape[-1])


def _in_fold(file: Path, fold: int, count: int) -> Tensor:
    """Return [count] bool: whether an STL-10 fold has the training image; the file has one line of positions a fold."""
    try:
        rows = torch.tensor([int(word) for word in file.read_text().splitlines()[fold].split()])
        named = torch.zeros(count, dtype=torch.bool)
        named[rows] = True
    except (OSError, ValueError, IndexError) as error:
        raise UserError(
            f"dataset.fold={fold} cannot be read from {shown(file)} ({_reason(error)}), which comes in "
            "stl10_binary.tar.gz; unpack it again, or write dataset.fold=null for all labels"
        ) from error
    return named


def _labels(part: Any) -> Any:
    return part.targets if hasattr(part, "targets") else part.labels


def _archives(source: Any) -> tuple[list[str], str]:
    """Return the files that torchvision downloads, relative to the root, and their address."""
    if hasattr(source, "resources"):
        return [f"{source.__name__}/raw/{file}" for file, _ in source.resources], source.mirrors[0]
    if hasattr(source, "split_list"):
        urls = [source.split_list[split][0] for split in ("train", "test")]
        return [url.rsplit("/", 1)[1] for url in urls], urls[0].rsplit("/", 1)[0]
    if hasattr(source, "url"):
        return [source.filename], source.url
    return ["eurosat/EuroSAT.zip"], "https://github.com/phelber/eurosat"


def _fetch(read: Callable[..., Any], place: Path, archives: list[str]) -> None:
    """Download and unpack in a separate folder, then move, so an interrupted download leaves no files behind."""
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=place) as name:
        stage = Path(name)
        for file in archives:
            if (place / file).is_file():  # put there by hand
                (stage / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(place / file, stage / file)
        read(stage, download=True)
        _merge(stage, place)


def _merge(source: Path, target: Path) -> None:
    for item in source.iterdir():
        if item.is_dir() and (target / item.name).is_dir():
            _merge(item, target / item.name)
        else:
            item.replace(target / item.name)


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
