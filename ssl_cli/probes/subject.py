"""A model as probes see it: frozen, in evaluation mode, its features computed once."""

import contextlib
import hashlib
import inspect
import io
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ssl_cli import __version__
from ssl_cli.atomic import replace
from ssl_cli.augment.colour import to_input
from ssl_cli.backbones.base import Backbone
from ssl_cli.errors import UserError
from ssl_cli.probes.features import PIXELS_SIDE, evaluating, extract, fingerprint, pixels

LIMIT = 2 << 30  # bytes of features that are kept in a run; the least recently used go first


class Pixels(nn.Module):
    """The raw pixels as features; of normalised images (an augmented view) it undoes the normalisation."""

    def __init__(self, channels: int, side: int, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.size = min(side, PIXELS_SIDE)
        self.dim = channels * self.size**2
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return features [B, C h w] of normalised images [B, C, H, W]."""
        return nn.functional.adaptive_avg_pool2d(images * self.std + self.mean, self.size).flatten(1)


class Layer(nn.Module):
    """A backbone up to one of its blocks: the mean over places of what that block puts out.

    Pretext tasks are often best in the middle (Kolesnikov et al. 2019, arXiv:1901.09005).

    Args:
        backbone: see `Backbone.blocks`.
        layer: counts its blocks from 1, at the input.

    Raises:
        UserError: there is no such block.
    """

    def __init__(self, backbone: Backbone, layer: int):
        super().__init__()
        blocks = backbone.blocks()
        if not 1 <= layer <= len(blocks):
            raise UserError(
                f"layer={layer}: the backbone's blocks are 1 to {len(blocks)}; leave layer away for its end"
            )
        self.backbone, self.layer = backbone, layer
        block = blocks[layer - 1]
        self.block = block[-1] if isinstance(block, nn.ModuleList) else block  # a list is never called itself

    @property
    def dim(self) -> int:
        """Width of the features, found by a look at one small image."""
        device, side = next(self.backbone.parameters()).device, self.backbone.min_size
        with evaluating(self.backbone), torch.no_grad():
            return self(torch.zeros(1, self.backbone.in_channels, side, side, device=device)).shape[1]

    def forward(self, images: Tensor) -> Tensor:
        """Return features [B, d] of normalised images [B, C, H, W]."""
        seen: list[Tensor] = []
        hook = self.block.register_forward_hook(lambda module, args, out: seen.append(out))
        try:
            self.backbone(images)
        finally:
            hook.remove()
        out = seen[-1]
        return out.mean((2, 3)) if out.ndim == 4 else out.mean(1) if out.ndim == 3 else out


@dataclass
class FeatureCache:
    """Features kept in a run's directory, each file named by all that they depend on."""

    directory: Path
    hits: int = 0
    misses: int = 0

    def get(self, key: str, compute: Callable[[], Tensor]) -> Tensor:
        """Return the features [n, d] of that name; if there are none, or damaged ones, compute and keep them."""
        file = self.directory / f"{key}.npz"
        with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # it has a checksum
            features = torch.from_numpy(np.load(file, allow_pickle=False)["features"])
            os.utime(file)
            self.hits += 1
            return features
        features = compute()
        self.misses += 1
        if features.numel() * 4 <= LIMIT:
            with contextlib.suppress(OSError):  # a full disk or a run of somebody else's: they are computed again
                self.directory.mkdir(exist_ok=True)
                buffer = io.BytesIO()
                np.savez(buffer, features=features.numpy())
                replace(file, buffer.getvalue())
                self._shrink(file)
        return features

    def size(self) -> int:
        """Return how many bytes are kept."""
        return sum(file.stat().st_size for file in self.directory.glob("*.npz"))

    def _shrink(self, newest: Path) -> None:
        files = sorted((f for f in self.directory.glob("*.npz") if f != newest), key=lambda f: f.stat().st_mtime)
        while files and self.size() > LIMIT:
            files.pop(0).unlink()


@dataclass
class Subject:
    """A network and the images that it is shown; called with positions, it returns features."""

    network: nn.Module  # normalised images [B, C, H, W] -> features [B, dim]; on ``device``
    images: Tensor  # [N, C, H, W] uint8
    mean: Sequence[float]  # of the normalisation that the network was trained with
    std: Sequence[float]
    device: torch.device
    cache: FeatureCache | None = None
    _weights: str = field(default="", repr=False)

    def __call__(self, positions: Tensor) -> Tensor:
        """Return the features [n, dim] of unchanged images, float32 on the CPU."""
        return self.of(self.images, positions)

    def of(self, images: Tensor, positions: Tensor) -> Tensor:
        """Return the features of other images [N, C, H, W] uint8, of the size and channels that the network takes."""
        if isinstance(self.network, Pixels):  # nothing to keep: reading them is as fast
            return pixels(images, positions)

        def compute() -> Tensor:
            return extract(self.network, images, positions, self.mean, self.std, self.device)

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
        facts = (__version__, torch.__version__, self.device.type, self._weights, layer, self.mean, self.std)
        digest = hashlib.sha256(repr((facts, images.shape[1:], type(inner).__qualname__)).encode())
        with contextlib.suppress(OSError, TypeError):
            digest.update(Path(inspect.getfile(type(inner))).read_bytes())
        for batch in positions.cpu().split(4096):
            digest.update(images[batch].numpy())
        return digest.hexdigest()[:32]
