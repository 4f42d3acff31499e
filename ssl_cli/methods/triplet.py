"""Triplet loss with mining inside the batch (FaceNet, Schroff et al. 2015, arXiv:1503.03832)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.distributed.collectives import gather
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.choices import one_of
from ssl_cli.methods.shared.heads import mlp
from ssl_cli.methods.shared.pairs import check_pairs, groups, masked_mean, masks, squared_distances

MINING = ("all", "semi_hard", "batch_hard")


def triplet(d_ap: Tensor, d_an: Tensor, margin: float) -> Tensor:
    """Loss of each triplet, ``max(0, d(a, p) - d(a, n) + m)``: equation 3 of the paper, where d is squared."""
    return F.relu(d_ap - d_an + margin)


def triplet_loss(d: Tensor, group: Tensor, margin: float, mining: str) -> Tensor:
    """Average `triplet` over the triplets that ``mining`` chooses among the rows of a batch.

    - ``all``: every anchor, positive and negative; the mean also counts triplets without loss. Memory grows with the
      number of positive pairs times the number of rows.
    - ``semi_hard``: each positive pair with the nearest negative that is further away than the positive, or, if there
      is none, the furthest negative. The paper draws any negative with ``d_ap < d_an < d_ap + m``; this is the
      deterministic choice of TensorFlow Addons' ``triplet_semihard_loss``.
    - ``batch_hard``: each anchor with its furthest positive and nearest negative (Hermans et al. 2017,
      arXiv:1703.07737). From random weights it tends to collapse: all embeddings equal, the loss stuck at the margin.

    Args:
        d: [R, R] distances, squared in the paper.
        group: [R] integers; rows of one number are positives of each other, others are negatives.
        margin: m > 0, in units of d.
        mining: ``all``, ``semi_hard`` or ``batch_hard``.

    Returns:
        Scalar; exactly ``m`` when all rows are equal; 0 if there is no triplet.
    """
    positive, negative = masks(group)
    usable = negative.any(dim=1)
    if mining == "batch_hard":
        furthest = torch.where(positive, d, -torch.inf).amax(dim=1)
        nearest = torch.where(negative, d, torch.inf).amin(dim=1)
        usable = usable & positive.any(dim=1)
        return masked_mean(triplet(furthest, nearest, margin), usable)
    if mining == "all":
        anchor, other = positive.nonzero(as_tuple=True)  # P positive pairs; waits for a GPU to count them
        return masked_mean(triplet(d[anchor, other, None], d[anchor], margin), negative[anchor])  # [P, R]
    # Take every entry of a row as the positive: where in the row's sorted negatives does it belong?
    ascending = torch.where(negative, d, torch.inf).sort(dim=1).values
    place = torch.searchsorted(ascending.detach(), d.detach().contiguous(), right=True)
    beyond = ascending.gather(1, place.clamp(max=len(d) - 1))  # infinite where there is none
    furthest = torch.where(negative, d, -torch.inf).amax(dim=1, keepdim=True)
    chosen = torch.where(beyond.isfinite(), beyond, furthest)
    return masked_mean(triplet(d, chosen, margin), positive & usable.unsqueeze(1))


class Triplet(Method):
    """Backbone and projector; triplets of unit-length embeddings, compared by squared distance as in the paper.

    Positives are the two views of an input, or with ``pairs="labels"`` all views of one class.
    """

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
        pairs: Literal["views", "labels"],
        mining: Literal["all", "semi_hard", "batch_hard"],
        margin: float,
        layers: int,
        hidden_dim: int,
        out_dim: int,
    ):
        super().__init__(backbone, data)
        check_pairs(pairs, data)
        one_of("mining", mining, MINING)
        self.learns_from = "labels" if pairs == "labels" else "images"
        self.pairs, self.mining, self.margin = pairs, mining, margin
        self.projector = mlp(backbone.dim, hidden_dim, out_dim, layers)

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take ``task.views`` of two tensors [B, ...]; triplets are mined among all ranks' rows."""
        z1, z2 = self.projector(self.backbone(torch.cat(task.views))).chunk(2)
        d = squared_distances(torch.cat([gather(z1), gather(z2)]))
        group = gather(groups(task, self.pairs))
        return {"loss": triplet_loss(d, group.repeat(2), self.margin, self.mining)}

    def embed(self, features: Tensor) -> Tensor:
        """Return the embeddings that the loss compares: [B, out_dim]."""
        return self.projector(features)
