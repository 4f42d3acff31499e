"""A model as probes see it: frozen, in evaluation mode, its features computed once."""

import contextlib
import hashlib
import inspect
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ssl_cli import __version__
from ssl_cli.data.base import Raw
from ssl_cli.data.info import DataInfo
from ssl_cli.probes.frozen.cache import FeatureCache
from ssl_cli.probes.frozen.features import extract, fingerprint
from ssl_cli.probes.frozen.folded import VERSION
from ssl_cli.probes.frozen.networks import Layer


@dataclass
class FrozenModel:
    """A network and the inputs that it is shown; called with positions, it returns features."""

    network: nn.Module  # inputs -> features [B, dim]; on ``device``
    inputs: Any  # as `Data.inputs` has them
    info: DataInfo  # of what the network was trained on
    device: torch.device
    cache: FeatureCache | None = None
    stored: Any = None  # `Data.cut_from`, where that is more than ``inputs``
    seconds: float = 0.0  # spent on features, but for those that the cache had
    computed: int = 0  # inputs whose features these are
    _weights: str = field(default="", repr=False)

    def __call__(self, positions: Tensor) -> Tensor:
        """Return the features [n, dim] of unchanged inputs, float32 on the CPU."""
        return self.of(self.inputs, positions)

    @property
    def weights(self) -> str:
        """The `fingerprint` of the network, which must not change."""
        self._weights = self._weights or fingerprint(self.network)
        return self._weights

    def augmented(self, augment: Any, positions: Tensor, generator: torch.Generator) -> Tensor:
        """Return a changed view of inputs, on the device."""
        stored = self.inputs if self.stored is None else self.stored
        (view,) = self.info.views(augment, stored[positions].to(self.device), generator)
        return view

    def of(self, inputs: Any, positions: Tensor) -> Tensor:
        """Return the features of other inputs, brought to what the network takes."""
        if isinstance(self.network, Raw):  # nothing to keep: making them is as fast
            return self.network.of(inputs, positions)

        def compute() -> Tensor:
            began = time.perf_counter()
            features = extract(self.network, inputs, positions, self.info, self.device)
            self.seconds += time.perf_counter() - began
            self.computed += len(positions)
            return features

        return self.cache.get(self._key(inputs, positions), compute) if self.cache and len(positions) else compute()

    def batches(self, positions: Tensor, size: int) -> Iterator[Tensor]:
        """Yield unchanged inputs on the device."""
        for batch in positions.cpu().split(size):
            yield self.info.to_input(self.inputs[batch].to(self.device))

    def _key(self, inputs: Any, positions: Tensor) -> str:
        """Name all that features depend on: the weights, the inputs, what is made of them, the code."""
        inner = self.network.backbone if isinstance(self.network, Layer) else self.network
        layer = self.network.layer if isinstance(self.network, Layer) else None
        facts = (__version__, VERSION, torch.__version__, self.device.type, self.weights, layer, *self.info.made_by)
        digest = hashlib.sha256(repr((facts, inputs.shape[1:], type(inner).__qualname__)).encode())
        with contextlib.suppress(OSError, TypeError):
            digest.update(Path(inspect.getfile(type(inner))).read_bytes())
        for batch in positions.cpu().split(4096):
            digest.update(inputs[batch].numpy())
        return digest.hexdigest()[:32]
