"""Siamese network with the contrastive margin loss over pairs (Hadsell, Chopra and LeCun 2006, CVPR)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.distributed.collectives import gather
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.heads import mlp
from ssl_cli.methods.shared.pairs import check_pairs, groups, masked_mean, masks, squared_distances


def contrastive(d: Tensor, y: Tensor, margin: float) -> Tensor:
    r"""Loss of each pair (equation 4 of the paper): similar pairs attract, dissimilar ones repel up to the margin.

    .. math:: L = (1 - Y) \tfrac12 d^2 + Y \tfrac12 \max(0, m - d)^2

    Args:
        d: Euclidean distances, any shape.
        y: Y of the same shape, bool; true means dissimilar, as in the paper (many libraries have it the other way).
        margin: m > 0, in units of d.

    Returns:
        Losses of the same shape.
    """
    return torch.where(y, F.relu(margin - d), d).square() / 2


def pair_loss(z: Tensor, group: Tensor, margin: float) -> Tensor:
    """Average `contrastive` over all pairs of rows, positive and negative pairs weighing one half each.

    The paper sums over the pairs of a data set. A batch has far more negative pairs than positive ones, so each kind is
    averaged on its own: this is the paper's mean for equally many pairs of both kinds. The paper leaves embeddings
    unscaled; here they have unit length, which fixes the scale of the margin.

    Args:
        z: [R, d] embeddings, any scale.
        group: [R] integers; rows of one number are a positive pair, others a negative one.
        margin: m in (0, 2], between embeddings of unit length; chance is about sqrt(2).

    Returns:
        Scalar; a kind without a pair counts 0. ``m^2 / 4`` when all rows are equal.
    """
    positive, negative = masks(group)
    # The gradient of a distance is undefined at 0: clamped, it is zero there.
    squared = squared_distances(z)
    d = squared.clamp_min(torch.finfo(squared.dtype).tiny).sqrt()
    losses = contrastive(d, negative, margin)
    return (masked_mean(losses, positive) + masked_mean(losses, negative)) / 2


class Siamese(Method):
    """Backbone and projector, shared by both sides of every pair that the views of a batch make.

    Positive pairs are the views of one input, or with ``pairs="labels"`` all views of one class.
    """

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
        pairs: Literal["views", "labels"],
        margin: float,
        layers: int,
        hidden_dim: int,
        out_dim: int,
    ):
        super().__init__(backbone, data)
        check_pairs(pairs, data)
        self.learns_from = "labels" if pairs == "labels" else "images"
        self.pairs, self.margin = pairs, margin
        self.projector = mlp(backbone.dim, hidden_dim, out_dim, layers)

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take ``task.views`` of two tensors [B, ...]; the pairs come from all ranks' rows."""
        z1, z2 = self.projector(self.backbone(torch.cat(task.views))).chunk(2)
        group = gather(groups(task, self.pairs))
        return {"loss": pair_loss(torch.cat([gather(z1), gather(z2)]), group.repeat(2), self.margin)}

    def embed(self, features: Tensor) -> Tensor:
        """Return the embeddings that the loss compares: [B, out_dim]."""
        return self.projector(features)
