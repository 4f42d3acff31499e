"""Networks beside the backbone itself that features are taken from: raw pixels, one layer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone, evaluating
from ssl_cli.errors import UserError
from ssl_cli.probes.frozen.features import PIXELS_SIDE


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
        return self.backbone.pooled(seen[-1])
