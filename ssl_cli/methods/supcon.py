"""Supervised contrastive learning (Khosla et al. 2020, arXiv:2004.11362)."""

from typing import ClassVar

import torch
from torch import Tensor

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.distributed.collectives import gather
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.heads import mlp, unit
from ssl_cli.methods.shared.pairs import groups, masked_mean, masks, require_labels


def supcon(z: Tensor, labels: Tensor, temperature: float) -> Tensor:
    r"""Supervised contrastive loss, :math:`L_{out}` (equation 2 of the paper), averaged over the rows i.

    With :math:`P(i)` the other rows of i's label, :math:`A(i)` all other rows and :math:`s_{ij}` the cosine:

    .. math:: L = \frac{1}{R} \sum_i \frac{-1}{|P(i)|} \sum_{p \in P(i)}
              \log \frac{e^{s_{ip}/T}}{\sum_{a \in A(i)} e^{s_{ia}/T}}

    The published code multiplies this by ``T / T_base`` (0.07); here as in the paper it is not. With as many labels as
    images it is NT-Xent; with more positives it cannot fall to 0 but to about ``ln |P|``.

    Args:
        z: [R, d] embeddings of all views, any scale.
        labels: [R] integers, one a class.
        temperature: T > 0.

    Returns:
        Scalar, in float32 at least; rows without a positive are left out, and 0 if no row has one.
    """
    z = unit(z)
    with torch.autocast(z.device.type, enabled=False):  # log-sum-exp over negatives needs more than bf16
        logits = z @ z.T / temperature
    logits.fill_diagonal_(-torch.inf)  # a row is neither its own positive nor its own negative
    positive, _ = masks(labels)
    count = positive.sum(dim=1)
    log_likelihood = torch.where(positive, logits.log_softmax(dim=1), 0).sum(dim=1) / count.clamp_min(1)
    return masked_mean(-log_likelihood, count > 0)


class SupCon(Method):
    """Backbone and projector; all views of one class attract, those of other classes repel."""

    learns_from: ClassVar = "labels"

    def __init__(
        self, backbone: Backbone, data: DataInfo, *, temperature: float, layers: int, hidden_dim: int, out_dim: int
    ):
        super().__init__(backbone, data)
        require_labels("method=supcon", data, "choose a method that needs none (method=simclr)")
        self.temperature = temperature
        self.projector = mlp(backbone.dim, hidden_dim, out_dim, layers)

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take ``task.views`` of two tensors [B, C, H, W] and ``task.labels`` [B]."""
        z1, z2 = self.projector(self.backbone(torch.cat(task.views))).chunk(2)
        labels = gather(groups(task, "labels")).repeat(2)
        return {"loss": supcon(torch.cat([gather(z1), gather(z2)]), labels, self.temperature)}

    def embed(self, features: Tensor) -> Tensor:
        """Return what the loss compares: [B, out_dim]."""
        return self.projector(features)
