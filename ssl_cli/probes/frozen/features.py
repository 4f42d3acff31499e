"""Features of images: of a frozen backbone, or the pixels themselves."""

import hashlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from ssl_cli.augment.colour import to_input
from ssl_cli.backbones.base import evaluating
from ssl_cli.probes.frozen.folded import folded
from ssl_cli.probes.progress import tracked

# Largest side of an image whose pixels serve as features: at 32, a logistic regression on CIFAR takes minutes on a CPU.
PIXELS_SIDE = 16


def extract(
    backbone: nn.Module,
    images: Tensor,
    positions: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device | str,
    batch_size: int | None = None,
) -> Tensor:
    """Return what the backbone, in evaluation mode, makes of unchanged images.

    Args:
        backbone: normalised images [B, C, H, W] to features [B, dim]; on ``device``. It comes back as it was: the
            mode of each of its modules, and every parameter and buffer.
        images: [N, C, H, W] uint8, in memory or memory-mapped.
        positions: [n] int64, the images wanted, in the order wanted.
        mean: per channel, of pixel values in [0, 1].
        std: likewise.
        device: where the backbone is.
        batch_size: images per forward pass; None: 512, of more than 64 pixels fewer, which take as much memory.

    Returns:
        [n, dim] float32 on the CPU, computed in float32 whatever precision the training used.
    """
    if not len(positions):
        return torch.empty(0, backbone.dim)
    batch_size = batch_size or max(8, 512 * 64**2 // max(64**2, images.shape[-2] * images.shape[-1]))
    batches = tracked(positions.cpu().split(batch_size))
    with evaluating(backbone):
        quick = folded(backbone, images.shape[1:], device)
        return features_of(quick, (to_input(images[batch].to(device), mean, std) for batch in batches))


def features_of(backbone: nn.Module, batches: Iterable[Tensor]) -> Tensor:
    """Return the features [n, dim], float32 on the CPU, of normalised images in batches [B, C, H, W]; see `extract`."""
    parts = []
    with evaluating(backbone), torch.inference_mode():
        for x in batches:
            with torch.autocast(x.device.type, enabled=False):
                parts.append(backbone(x.contiguous(memory_format=torch.channels_last)).float().cpu())
    return torch.cat(parts)  # outside inference mode, so that a probe may train on the features


def pixels(images: Tensor, positions: Tensor, batch_size: int = 4096) -> Tensor:
    """Return raw pixels as features: the baseline that any representation has to beat.

    Args:
        images: [N, C, H, W] uint8.
        positions: [n] int64.
        batch_size: images converted at a time.

    Returns:
        [n, C h w] float32 in [0, 1] with h = min(H, 16) and w = min(W, 16); larger images are averaged over areas.
    """
    size = [min(side, PIXELS_SIDE) for side in images.shape[2:]]
    features = torch.empty(len(positions), images.shape[1] * size[0] * size[1])
    for out, batch in zip(features.split(batch_size), positions.cpu().split(batch_size), strict=True):
        x = images[batch].float() / 255
        out.copy_(nn.functional.adaptive_avg_pool2d(x, size).flatten(1))
    return features


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
