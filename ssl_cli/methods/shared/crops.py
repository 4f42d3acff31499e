"""Views of several sizes through one backbone."""

from itertools import groupby

import torch
from torch import Tensor, nn


def encode(backbone: nn.Module, views: list[Tensor]) -> Tensor:
    """Return the features [V * B, dim] of V views [B, ...], view after view.

    Consecutive views of one size go through together, so the backbone's BatchNorm sees each size by itself, as in the
    published code of SwAV and DINO.
    """
    return torch.cat([backbone(torch.cat(list(same))) for _, same in groupby(views, key=lambda view: view.shape)])
