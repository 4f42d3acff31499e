"""Supervised contrastive learning (Khosla et al. 2020, arXiv:2004.11362)."""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.distributed.collectives import gather
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.choices import one_of
from ssl_cli.methods.shared.heads import mlp, unit
from ssl_cli.methods.shared.pairs import groups, masked_mean, masks, require_labels


def supcon(
    z: Tensor, labels: Tensor, temperature: float, positives: Literal["outside", "inside"] = "outside"
) -> Tensor:
    r"""Supervised contrastive loss, :math:`L_{out}` (equation 2 of the paper), averaged over the rows i.

    With :math:`P(i)` the other rows of i's label, :math:`A(i)` all other rows and :math:`s_{ij}` the cosine:

    .. math:: L = \frac{1}{R} \sum_i \frac{-1}{|P(i)|} \sum_{p \in P(i)}
              \log \frac{e^{s_{ip}/T}}{\sum_{a \in A(i)} e^{s_{ia}/T}}

    With ``positives="inside"`` the mean over P(i) is taken inside the logarithm: :math:`L_{in}` (equation 3).

    The published code multiplies this by ``T / T_base`` (0.07); the paper and this function do not. If each input has a
    label of its own it is NT-Xent; with more positives its minimum is not 0 but about ``ln |P|``.

    Args:
        z: [R, d] embeddings of all views, any scale.
        labels: [R] integers, one a class.
        temperature: T > 0.
        positives: ``inside`` or outside of the logarithm. ``inside`` has the gradient of solo-learn's SupCon, which
            takes the sum over P(i) there and so differs by ``ln |P|``.

    Returns:
        Scalar, in float32 at least; rows without a positive are left out, and 0 if no row has one.
    """
    z = unit(z)
    with torch.autocast(z.device.type, enabled=False):  # log-sum-exp over negatives needs more than bf16
        logits = z @ z.T / temperature
    logits.fill_diagonal_(-torch.inf)  # a row is neither its own positive nor its own negative
    positive, _ = masks(labels)
    count = positive.sum(dim=1)
    log_p = logits.log_softmax(dim=1)
    if positives == "inside":
        alone = (count == 0)[:, None]  # an empty logsumexp has no gradient; such a row is left out below
        inside = torch.where(alone, 0, torch.where(positive, log_p, -torch.inf))
        log_likelihood = inside.logsumexp(dim=1) - count.clamp_min(1).to(log_p.dtype).log()
    else:
        log_likelihood = torch.where(positive, log_p, 0).sum(dim=1) / count.clamp_min(1)
    return masked_mean(-log_likelihood, count > 0)


class SupCon(Method):
    """Backbone and projector; views of the same class attract, views of other classes repel."""

    learns_from: ClassVar = "labels"

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
        temperature: float,
        layers: int,
        hidden_dim: int,
        out_dim: int,
        hidden_norm: bool = True,
        positives: Literal["outside", "inside"] = "outside",
    ):
        super().__init__(backbone, data)
        require_labels("method=supcon", data, "choose a method that needs none (method=simclr)")
        self.temperature = temperature
        self.positives = one_of("positives", positives, ("outside", "inside"))
        self.projector = mlp(backbone.dim, hidden_dim, out_dim, layers, hidden_norm=hidden_norm)

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take ``task.views`` of two tensors [B, ...] and ``task.labels`` [B]."""
        z1, z2 = self.projector(self.backbone(torch.cat(task.views))).chunk(2)
        labels = gather(groups(task, "labels")).repeat(2)
        return {"loss": supcon(torch.cat([gather(z1), gather(z2)]), labels, self.temperature, self.positives)}

    def embed(self, features: Tensor) -> Tensor:
        """Return the embeddings that the loss compares: [B, out_dim]."""
        return self.projector(features)
