"""Where a ResNet of torchvision has its weights from, and what belongs to them."""

from pathlib import Path
from typing import Any

from ssl_cli.backbones.foreign import fetch, read
from ssl_cli.backbones.foreign.named import PUBLISHED, file_named
from ssl_cli.backbones.foreign.origin import IMAGENET, Origin
from ssl_cli.errors import UserError, did_you_mean


def origin(arch: str, weights: str) -> Origin:
    """Return the file that is meant, which is fetched if torchvision publishes it and it is not here.

    Args:
        arch: of the network, known to torchvision.
        weights: a file, ``pretrained`` (torchvision's best), or one of its names: ``IMAGENET1K_V2``.

    Raises:
        UserError: there are no such weights, or they are not there.
    """
    path = file_named(weights)
    return _published(arch, weights) if path is None else _in_file(read.weights_in(path))


def _published(arch: str, weights: str) -> Origin:
    import torch
    from torchvision.models import get_model_weights

    known = get_model_weights(arch)
    names = [PUBLISHED, *known.__members__]
    if weights not in names:
        raise UserError(
            f"backbone.weights={weights} is neither a file nor weights that torchvision has of {arch}"
            f"{did_you_mean(weights, names)} (they are {', '.join(names)})"
        )
    chosen = known["DEFAULT" if weights == PUBLISHED else weights]
    seen: Any = chosen.transforms()
    return Origin(
        weights=f"torchvision's {arch}, {chosen.name}",
        file=str(fetch.from_address(chosen.url, Path(torch.hub.get_dir()) / "checkpoints")),
        licence=chosen.meta.get("license"),
        mean=tuple(seen.mean),
        std=tuple(seen.std),
        size=seen.crop_size[0],
        interpolation=seen.interpolation.value,
        settings={"stem": "imagenet"},
    )


def _in_file(file: Path) -> Origin:
    """Return what a file says; of one that says nothing, what is usual for ImageNet if its first convolution is."""
    kernels = (t.shape[-1] for t in read.read(file).tensors.values() if t.ndim == 4 and tuple(t.shape[:2]) in _FIRST)
    large = next(kernels, 7) == 7
    usual: dict[str, Any] = {**IMAGENET, "size": 224, "assumed": True} if large else {}
    return Origin(str(file), str(file), settings={"stem": "imagenet" if large else "cifar"}, **usual).stating(
        read.about(file)
    )


_FIRST = ((64, 3), (64, 1))  # the first convolution's channels, out and in
