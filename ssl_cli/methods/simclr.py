"""SimCLR: a simple framework for contrastive learning (Chen et al. 2020, arXiv:2002.05709)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.distributed.collectives import gather
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.heads import mlp, unit


def nt_xent(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    r"""Normalised temperature-scaled cross-entropy (equation 1 of the paper), averaged over all 2N rows.

    With :math:`\hat z` the 2N unit-length rows of ``[z1; z2]``, :math:`s_{ij} = \hat z_i \cdot \hat z_j` and
    :math:`j(i)` the other view of row i's input:

    .. math:: L = \frac{1}{2N} \sum_i -\log \frac{e^{s_{i,j(i)}/T}}{\sum_{k \ne i} e^{s_{ik}/T}}

    The published TensorFlow code reports twice this value (it adds two means over N rows); this is the paper's.

    Args:
        z1: [N, d] embeddings of the first views, any scale.
        z2: [N, d] embeddings of the second views; row i is of the same input as row i of ``z1``.
        temperature: T > 0.

    Returns:
        Scalar; ``ln(2N - 1)`` when all rows are equal. Computed in float32 at least.

    Raises:
        ValueError: shapes differ, or the temperature is not positive.
    """
    if z1.shape != z2.shape or z1.ndim != 2:
        raise ValueError(f"z1 and z2 must be [N, d] of one shape, not {tuple(z1.shape)} and {tuple(z2.shape)}")
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, not {temperature}")
    n = len(z1)
    z = unit(torch.cat([z1, z2]))
    with torch.autocast(z.device.type, enabled=False):  # log-sum-exp over negatives needs more than bf16
        logits = z @ z.T / temperature
    logits.fill_diagonal_(-torch.inf)  # a row is not its own negative
    positives = torch.arange(2 * n, device=z.device).roll(n)
    return F.cross_entropy(logits, positives)


class SimCLR(Method):
    """Backbone, projector and NT-Xent over the two views of a batch."""

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
        last_norm: Literal["none", "affine", "plain", "scale"] = "none",
    ):
        super().__init__(backbone, data)
        self.temperature = temperature
        self.projector = mlp(backbone.dim, hidden_dim, out_dim, layers, last_norm, hidden_norm=hidden_norm)

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take ``task.views`` of two tensors [B, ...]; BatchNorm sees both views at once, as in the paper."""
        z1, z2 = self.projector(self.backbone(torch.cat(task.views))).chunk(2)
        return {"loss": nt_xent(gather(z1), gather(z2), self.temperature)}

    def embed(self, features: Tensor) -> Tensor:
        """Return the embeddings that the loss compares: [B, out_dim]."""
        return self.projector(features)
