"""VICReg: variance, invariance, covariance regularisation (Bardes, Ponce and LeCun 2021, arXiv:2105.04906)."""

import torch
from torch import Tensor

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.distributed.collectives import gather
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.heads import mlp


def vicreg_terms(z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return invariance s, variance v and covariance c of two views (equations 1, 3 and 5 of the paper).

    With Var and Cov over the batch, divided by N - 1:

    .. math::
        s &= \tfrac{1}{N D} \sum_i \|z_{1i} - z_{2i}\|^2 \\
        v &= \tfrac12 \sum_{z \in z_1, z_2} \tfrac1D \sum_j \max(0, 1 - \sqrt{Var(z_j) + 10^{-4}}) \\
        c &= \sum_{z \in z_1, z_2} \tfrac1D \sum_{i \ne j} Cov(z)_{ij}^2

    This is the published code; the usual weights 25, 25, 1 belong to it. The paper does not divide s by D and does not
    halve v. Embeddings are neither normalised nor scaled to unit length: v regulates their scale.

    Args:
        z1: [N, D] embeddings of the first views.
        z2: [N, D] embeddings of the second views; row i is of the same input as row i of ``z1``.

    Returns:
        Three scalars >= 0, computed in float32 at least; v is 0.99 when all rows are equal.

    Raises:
        ValueError: shapes differ, or there is no second row for a variance.
    """
    if z1.shape != z2.shape or z1.ndim != 2 or len(z1) < 2:
        raise ValueError(f"z1 and z2 must be [N, D] with N >= 2, not {tuple(z1.shape)} and {tuple(z2.shape)}")
    z1, z2 = (z.to(torch.promote_types(z.dtype, torch.float32)) for z in (z1, z2))
    return (z1 - z2).square().mean(), (_variance(z1) + _variance(z2)) / 2, _covariance(z1) + _covariance(z2)


def _variance(z: Tensor) -> Tensor:
    return (1 - (z.var(0) + 1e-4).sqrt()).relu().mean()


def _covariance(z: Tensor) -> Tensor:
    n, d = z.shape
    z = z - z.mean(0)
    with torch.autocast(z.device.type, enabled=False):  # squares of sums need more than bf16
        covariance = z.T @ z / (n - 1)
    off = covariance - torch.diag(covariance.diagonal())
    return off.square().sum() / d


class VICReg(Method):
    """Backbone, expander (the paper's name for the projector), and the weighted sum of the three terms."""

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
        invariance: float,
        variance: float,
        covariance: float,
        layers: int,
        hidden_dim: int,
        out_dim: int,
    ):
        super().__init__(backbone, data)
        self.weights = (invariance, variance, covariance)
        self.expander = mlp(backbone.dim, hidden_dim, out_dim, layers, last_bias=False)  # no term sees a bias

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take two views [B, ...]; as in the published code BatchNorm sees one view at a time."""
        z1, z2 = (gather(self.expander(self.backbone(view))) for view in task.views[:2])
        s, v, c = vicreg_terms(z1, z2)
        weight_s, weight_v, weight_c = self.weights
        return {"loss": weight_s * s + weight_v * v + weight_c * c, "invariance": s, "variance": v, "covariance": c}

    def embed(self, features: Tensor) -> Tensor:
        """Return the embeddings that the loss compares: [B, out_dim]."""
        return self.expander(features)
