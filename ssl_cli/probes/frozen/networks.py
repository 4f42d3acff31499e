"""One layer of a backbone, that features are taken from."""

import torch
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone, evaluating
from ssl_cli.errors import UserError


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
            raise UserError(f"layer={layer}: the backbone's blocks are 1 to {len(blocks)}; leave layer out for its end")
        self.backbone, self.layer = backbone, layer
        block = blocks[layer - 1]
        self.block = block[-1] if isinstance(block, nn.ModuleList) else block  # a list is never called itself

    @property
    def dim(self) -> int:
        """Width of the features, found by a look at one small input."""
        device = next(self.backbone.parameters()).device
        with evaluating(self.backbone), torch.no_grad():
            return self(self.backbone.example().to(device)).shape[1]

    def forward(self, inputs: Tensor) -> Tensor:
        """Return features [B, d] of what the backbone takes."""
        seen: list[Tensor] = []
        hook = self.block.register_forward_hook(lambda module, args, out: seen.append(out))
        try:
            self.backbone(inputs)
        finally:
            hook.remove()
        return self.backbone.pooled(seen[-1])
