"""Vision transformers (Dosovitskiy et al. 2021, arXiv:2010.11929) for images of any size that the patch divides."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.backbones.foreign import read
from ssl_cli.backbones.foreign.load import load
from ssl_cli.backbones.foreign.named import file_named
from ssl_cli.backbones.foreign.origin import Origin
from ssl_cli.errors import UserError


def positions(height: int, width: int, dim: int) -> Tensor:
    """Return fixed sine and cosine positions [height * width, dim], row by row (as in MoCo v3 and MAE).

    A quarter each of the numbers are sines and cosines of the row and of the column, at frequencies from 1 to 1/10000.
    """
    omega = 1 / 10_000 ** (torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    angles = [place.flatten()[:, None] * omega for place in (x, y)]
    return torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return ``softmax(q k^T / sqrt(d)) v`` of queries, keys and values [B, heads, N, d]."""
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v)
    # Torch's fused kernel takes up to 8 times as long on a CPU, in the backward pass in bfloat16.
    return (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(-1) @ v


class Block(nn.Module):
    """Attention and a two-layer network, each after a LayerNorm and beside a shortcut: [B, N, dim] to the same."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float = 4.0):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, int(dim * mlp_ratio)), nn.GELU(), nn.Linear(int(dim * mlp_ratio), dim))

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens, each having looked at all."""
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = attention(q, k, v).transpose(1, 2).reshape(batch, tokens, dim)
        x = x + self.out(seen)
        return x + self.mlp(self.norm2(x))


class ViT(Backbone):
    """Patches, fixed positions, blocks, a LayerNorm; the features are the mean over patches.

    Args:
        in_channels: colour channels of the images.
        patch_size: side of a patch, in pixels; divides the image's.
        dim: width of the tokens and of the features; a multiple of 4 and of ``heads``.
        depth: blocks.
        heads: of the attention.
        freeze_patches: keep the embedding of the patches as the seed drew it, for a steadier training (MoCo v3,
            section 4.2).
        weights: None: random; a file, of such a network: with fixed positions, and without a class token.

    Raises:
        UserError: ``dim`` does not fit; the weights are not there, or not of this network.
    """

    def __init__(
        self,
        in_channels: int,
        patch_size: int = 4,
        dim: int = 128,
        depth: int = 4,
        heads: int = 4,
        freeze_patches: bool = False,
        weights: str | None = None,
    ):
        super().__init__()
        if dim % 4 or dim % heads:
            raise UserError(f"backbone.dim={dim} is not a multiple of 4 and of backbone.heads={heads}")
        self.in_channels, self.patch_size, self.dim = in_channels, patch_size, dim
        self.min_size = 2 * patch_size
        self.embed = nn.Conv2d(in_channels, dim, patch_size, stride=patch_size)
        nn.init.xavier_uniform_(self.embed.weight.view(dim, -1))
        self.layers = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        if freeze_patches:
            self.embed.requires_grad_(False)
        if (origin := self.origin_of(weights)) is not None:
            self.origin = load(self, origin, f"backbone.weights={weights}", first=["embed.weight"], hint=_OTHERS)

    @classmethod
    def origin_of(cls, weights: str | None = None, **_: Any) -> Origin | None:
        """Return where the weights are and what their file says of them, see `Backbone.origin_of`."""
        if weights is None:
            return None
        path = file_named(weights)
        if path is None:
            raise UserError(f"backbone.weights={weights} is not a file, and nobody publishes such a network; {_OTHERS}")
        file = read.weights_in(path)
        return Origin(str(path), str(file)).stating(read.about(file))

    def tokens(self, images: Tensor) -> Tensor:
        """Return patches with their positions [B, N, dim], row by row, of images [B, in_channels, H, W]."""
        if images.shape[2] % self.patch_size or images.shape[3] % self.patch_size:
            raise UserError(
                f"images of {images.shape[2]}x{images.shape[3]} pixels cannot be cut into patches of "
                f"{self.patch_size}; write a backbone.patch_size that divides the side, or another dataset.storage_size"
            )
        x = self.embed(images)
        height, width = x.shape[2:]
        x = x.flatten(2).transpose(1, 2)
        return x + positions(height, width, self.dim).to(x, non_blocking=True)

    def encode(self, tokens: Tensor) -> Tensor:
        """Return what the blocks make of any set of tokens [B, N, dim]: MAE gives the visible ones alone."""
        for layer in self.layers:
            tokens = layer(tokens)
        return self.norm(tokens)

    def forward(self, images: Tensor) -> Tensor:
        """Return features [B, dim] of normalised images [B, in_channels, H, W]."""
        return self.encode(self.tokens(images)).mean(1)

    def feature_map(self, images: Tensor) -> Tensor:
        """Return the tokens in their places [B, dim, H / patch_size, W / patch_size]."""
        encoded = self.encode(self.tokens(images))
        return encoded.transpose(1, 2).unflatten(2, (images.shape[2] // self.patch_size, -1))

    def blocks(self) -> list[nn.Module]:
        """Return the patches' embedding and each block, the last with the norm after it."""
        return [self.embed, *self.layers[:-1], nn.ModuleList([self.layers[-1], self.norm])]


_OTHERS = (
    "published transformers have a class token and positions of their own: write backbone=timm backbone.name=vit_..."
)
