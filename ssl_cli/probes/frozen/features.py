"""Features of a frozen backbone."""

import hashlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ssl_cli.backbones.base import evaluating
from ssl_cli.data.info import DataInfo
from ssl_cli.probes.frozen.folded import folded
from ssl_cli.probes.progress import tracked
from ssl_cli.system.transfer import striped


class Extractor:
    """`extract` for many calls of one network, whose weights stay as they are: what makes it fast is done once.

    Args:
        backbone: as for `extract`, and so the others.
        info: of what the backbone was trained on.
        device: where the backbone is.
    """

    def __init__(self, backbone: nn.Module, info: DataInfo, device: torch.device | str):
        self.backbone, self.info, self.device = backbone, info, device
        self.quick: nn.Module | None = None

    def __call__(self, inputs: Any, positions: Tensor, batch_size: int | None = None) -> Tensor:
        """Return features [n, dim] of inputs, all of one shape over the calls."""
        if not len(positions):
            return torch.empty(0, self.backbone.dim)
        batches = tracked(positions.cpu().split(batch_size or self.info.at_once))
        with evaluating(self.backbone):
            self.quick = self.quick or folded(self.backbone, self._network_input(inputs, positions[:1].cpu()))
            return features_of(self.quick, (self._network_input(inputs, batch) for batch in batches))

    def _network_input(self, inputs: Any, positions: Tensor) -> Tensor:
        return self.info.to_input(inputs[positions].to(self.device))


def extract(
    backbone: nn.Module,
    inputs: Any,
    positions: Tensor,
    info: DataInfo,
    device: torch.device | str,
    batch_size: int | None = None,
) -> Tensor:
    """Return what the backbone, in evaluation mode, makes of unchanged inputs.

    Args:
        backbone: inputs to features [B, dim]; on ``device``. It comes back as it was: the
            mode of each of its modules, and every parameter and buffer.
        inputs: as `Data.inputs` has them, in memory or memory-mapped.
        positions: [n] int64, the inputs wanted, in the order wanted.
        info: of what the backbone was trained on: it turns rows as stored into what a network takes.
        device: where the backbone is.
        batch_size: inputs per forward pass; None: `DataInfo.at_once`.

    Returns:
        [n, dim] float32 on the CPU, computed in float32 whatever precision the training used.
    """
    return Extractor(backbone, info, device)(inputs, positions, batch_size)


def features_of(backbone: nn.Module, batches: Iterable[Tensor]) -> Tensor:
    """Return the features [n, dim], float32 on the CPU, of inputs in batches; see `extract`."""
    parts = []
    with evaluating(backbone), torch.inference_mode():
        for x in batches:
            with torch.autocast(x.device.type, enabled=False):
                parts.append(backbone(striped(x)).float().cpu())
    return torch.cat(parts)  # outside inference mode, so that a probe may train on the features


def scale(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of each feature, [d]; of one that never changes 1, for it can tell nothing."""
    mean, std = features.mean(0), features.std(0, correction=0)
    return mean, torch.where(std > 1e-6 * mean.abs().clamp(min=1), std, 1.0)  # less is rounding


def fingerprint(module: nn.Module) -> str:
    """Return the sha256 of every parameter and buffer: names, dtypes, shapes, bytes.

    Equal before and after a probe, it proves that the backbone was frozen, its running statistics included.
    """
    digest = hashlib.sha256()
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
