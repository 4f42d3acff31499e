"""Texts as integers, one after the other in one buffer: stored once, padded batch by batch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ssl_cli.augment.texts import PADDING

MULTIPLE = 8  # of which a batch's width is one: fewer shapes, and all that vector units like


class Tokens:
    """Texts of unlike lengths; indexed as the padded tensor [N, L] that it stands for.

    ``tokens[3]`` is a text [l]; ``tokens[positions]`` and ``tokens[a:b]`` are batches [B, L] int64, padded with 0 to
    their longest text, rounded up to a multiple of 8.

    Args:
        rows: of each text its tokens, at least one, none of them 0.
        texts: what they were made of; the raw baseline reads these.
    """

    dtype = torch.int64
    device = torch.device("cpu")  # also beside a GPU: a batch is gathered here, and sent

    def __init__(self, rows: Sequence[Sequence[int]], texts: Sequence[str] = ()):
        self.texts = texts
        self.lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        self.starts = self.lengths.cumsum(0) - self.lengths
        self.flat = torch.tensor([token for row in rows for token in row], dtype=torch.int32)
        self.shape = torch.Size((len(rows), int(self.lengths.max()) if len(rows) else 0))

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, key: Any) -> Tensor:
        if isinstance(key, int) or (isinstance(key, Tensor) and key.ndim == 0):
            start = int(self.starts[key])
            return self.flat[start : start + int(self.lengths[key])].long()
        starts, lengths = self.starts[key], self.lengths[key]
        width = -(-int(lengths.max()) // MULTIPLE) * MULTIPLE if len(lengths) else MULTIPLE
        place = torch.arange(width)
        at = (starts[:, None] + place).clamp_(max=max(0, len(self.flat) - 1))
        return torch.where(place < lengths[:, None], self.flat[at].long(), PADDING)

    @property
    def nbytes(self) -> int:
        """Bytes of the integers."""
        return self.flat.nbytes

    def to(self, device: Any) -> "Tokens":
        """Return the texts themselves: they stay on the CPU, where a batch's width is found without waiting."""
        return self
