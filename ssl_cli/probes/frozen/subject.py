"""A model as probes see it: frozen, in evaluation mode, its features computed once."""

import contextlib
import hashlib
import inspect
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ssl_cli import __version__
from ssl_cli.augment.augment import Augment
from ssl_cli.augment.colour import to_input
from ssl_cli.data.images.squares import Squares
from ssl_cli.photos import Photos
from ssl_cli.probes.frozen.cache import FeatureCache
from ssl_cli.probes.frozen.features import extract, fingerprint, pixels
from ssl_cli.probes.frozen.folded import VERSION
from ssl_cli.probes.frozen.networks import Layer, Pixels


@dataclass
class FrozenModel:
    """A network and the images that it is shown; called with positions, it returns features."""

    network: nn.Module  # normalised images [B, C, H, W] -> features [B, dim]; on ``device``
    images: Tensor | Squares  # [N, C, H, W] uint8
    mean: Sequence[float]  # of the normalisation that the network was trained with
    std: Sequence[float]
    device: torch.device
    cache: FeatureCache | None = None
    stored: Tensor | Photos | None = None  # what is more than ``images`` and augmented views are cut from
    seconds: float = 0.0  # spent on features, but for those that the cache had
    computed: int = 0  # images whose features these are
    _weights: str = field(default="", repr=False)

    def __call__(self, positions: Tensor) -> Tensor:
        """Return the features [n, dim] of unchanged images, float32 on the CPU."""
        return self.of(self.images, positions)

    def augmented(self, augment: Augment, positions: Tensor, generator: torch.Generator) -> Tensor:
        """Return a view [B, C, H, W] of images, normalised, on the device."""
        stored = self.images if self.stored is None else self.stored
        images, size = stored[positions].to(self.device), self.images.shape[-1]
        (view,) = augment(images, self.mean, self.std, generator, size=size)
        return view

    def of(self, images: Tensor | Squares, positions: Tensor) -> Tensor:
        """Return the features of other images [N, C, H, W] uint8, of the size and channels that the network takes."""
        if isinstance(self.network, Pixels):  # nothing to keep: reading them is as fast
            return pixels(images, positions)

        def compute() -> Tensor:
            began = time.perf_counter()
            features = extract(self.network, images, positions, self.mean, self.std, self.device)
            self.seconds += time.perf_counter() - began
            self.computed += len(positions)
            return features

        return self.cache.get(self._key(images, positions), compute) if self.cache and len(positions) else compute()

    def batches(self, positions: Tensor, size: int) -> Iterator[Tensor]:
        """Yield normalised images [B, C, H, W] on the device."""
        for batch in positions.cpu().split(size):
            yield to_input(self.images[batch].to(self.device), self.mean, self.std)

    def _key(self, images: Tensor, positions: Tensor) -> str:
        """Name all that features depend on: the weights, the images, their normalisation, the code."""
        self._weights = self._weights or fingerprint(self.network)
        inner = self.network.backbone if isinstance(self.network, Layer) else self.network
        layer = self.network.layer if isinstance(self.network, Layer) else None
        facts = (__version__, VERSION, torch.__version__, self.device.type, self._weights, layer, self.mean, self.std)
        digest = hashlib.sha256(repr((facts, images.shape[1:], type(inner).__qualname__)).encode())
        with contextlib.suppress(OSError, TypeError):
            digest.update(Path(inspect.getfile(type(inner))).read_bytes())
        for batch in positions.cpu().split(4096):
            digest.update(images[batch].numpy())
        return digest.hexdigest()[:32]
