"""A small transformer for texts (Vaswani et al. 2017, arXiv:1706.03762), without what padding could change."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_cli.augment.texts import PADDING
from ssl_cli.backbones.base import Backbone
from ssl_cli.errors import UserError

NEVER = -1e4  # added to what must not be looked at; fits any precision


class Places:
    """Where the tokens of a padded batch are: on a CPU no work is done for padding.

    Args:
        seen: [B, L] bool, what is no padding. On a GPU all is worked on, as finding out would wait for it.
    """

    def __init__(self, seen: Tensor):
        self.seen = seen
        self.at = seen.flatten().nonzero()[:, 0] if seen.device.type == "cpu" else None

    def packed(self, x: Tensor) -> Tensor:
        """Return the tokens [T, d] of a batch [B, L, d]."""
        return x.flatten(0, 1) if self.at is None else x.flatten(0, 1)[self.at]

    def padded(self, x: Tensor) -> Tensor:
        """Return the batch [B, L, d] of tokens [T, d], zeros at padding."""
        if self.at is None:
            return x.view(*self.seen.shape, -1) * self.seen[..., None]
        return x.new_zeros(self.seen.numel(), x.shape[1]).index_copy(0, self.at, x).view(*self.seen.shape, -1)


class Layer(nn.Module):
    """Attention and a two-layer network, each after a LayerNorm and beside a shortcut; padding stays zero.

    Args:
        dim: width of the tokens.
        heads: of the attention.
        dropout: share of the numbers that is set to zero, of what is added to the shortcuts.
    """

    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor, places: Places) -> Tensor:
        """Return tokens [B, L, dim], each having looked at all of its text."""
        x = places.packed(x)
        q, k, v = places.padded(self.qkv(self.norm1(x))).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        looked = attention(q, k, v, places.seen).transpose(1, 2).flatten(2)
        x = x + self.dropout(self.out(places.packed(looked)))
        return places.padded(x + self.dropout(self.mlp(self.norm2(x))))


def attention(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    """Return ``softmax(q k^T / sqrt(d)) v`` of queries, keys and values [B, heads, L, d]; of keys ``seen`` [B, L]."""
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None, None])
    # Torch's fused kernel takes longer on a CPU, in the backward pass.
    hidden = torch.where(seen, 0.0, NEVER).to(q.dtype)[:, None, None]
    return (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1) + hidden).softmax(-1) @ v


class Embedding(nn.Module):
    """Tokens [B, L] become vectors with learned positions [B, L, dim]."""

    def __init__(self, vocab_size: int, max_tokens: int, dim: int, dropout: float):
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, dim, padding_idx=PADDING)
        self.positions, self.dropout = nn.Parameter(torch.empty(max_tokens, dim)), nn.Dropout(dropout)
        nn.init.normal_(self.positions, std=0.02)
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.zeros_(self.tokens.weight[PADDING])

    def forward(self, tokens: Tensor) -> Tensor:
        """Return vectors, zeros at padding."""
        x = self.dropout(self.tokens(tokens) + self.positions[: tokens.shape[1]])
        return x * (tokens != PADDING)[..., None]


class Norm(nn.LayerNorm):
    """A LayerNorm that leaves padding zero."""

    def forward(self, x: Tensor, places: Places) -> Tensor:
        """Return tokens [B, L, dim] normalised, zeros at padding."""
        return places.padded(super().forward(places.packed(x)))


class TextSmall(Backbone):
    """Tokens with learned positions, layers, a LayerNorm; the features are the mean over tokens, without padding.

    Args:
        vocab_size: tokens of the vocabulary; 0 is padding.
        max_tokens: of a text; what is beyond is not looked at.
        dim: width of the tokens and of the features; a multiple of ``heads``.
        depth: layers.
        heads: of the attention.
        dropout: share of the numbers that is set to zero in training: two passes over a text differ by it.

    Raises:
        UserError: ``dim`` is not a multiple of ``heads``.
    """

    one_shape = False
    told = ("vocab_size", "max_tokens")

    def __init__(
        self, vocab_size: int, max_tokens: int, dim: int = 160, depth: int = 2, heads: int = 4, dropout: float = 0.1
    ):
        super().__init__()
        if dim % heads:
            raise UserError(f"backbone.dim={dim} is not a multiple of backbone.heads={heads}")
        self.vocab_size, self.max_tokens, self.dim = vocab_size, max_tokens, dim
        self.embed = Embedding(vocab_size, max_tokens, dim, dropout)
        self.layers = nn.ModuleList(Layer(dim, heads, dropout) for _ in range(depth))
        self.norm = Norm(dim)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return features [B, dim] of tokens [B, L] int64, padded with 0; any padding gives the same."""
        return self.pooled(self.feature_map(narrow(tokens)))

    def feature_map(self, tokens: Tensor) -> Tensor:
        """Return what becomes of each token [B, L, dim], zeros at padding, of tokens [B, L]."""
        places, x = Places(tokens != PADDING), self.embed(tokens)
        for layer in self.layers:
            x = layer(x, places)
        return self.norm(x, places)

    def example(self) -> Tensor:
        """Return one small input, on the CPU."""
        return torch.ones(1, min(8, self.max_tokens), dtype=torch.int64)

    def blocks(self) -> list[nn.Module]:
        """Return the embedding of tokens and each layer, the last with the norm after it."""
        return [self.embed, *self.layers[:-1], nn.ModuleList([*self.layers[-1:], self.norm])]

    def pooled(self, out: Tensor) -> Tensor:
        """Return the mean [B, d] over the tokens of [B, L, d] that are not all zero, as padding is."""
        seen = out.detach().ne(0).any(2)
        return out.sum(1) / seen.sum(1, keepdim=True).clamp(min=1)


def narrow(tokens: Tensor) -> Tensor:
    """Return tokens [B, L] without columns that are padding in all rows; on a GPU, which would wait, as they are."""
    if tokens.device.type != "cpu" or not len(tokens):
        return tokens
    return tokens[:, : max(1, int((tokens != PADDING).sum(1).max()))]
