"""Barlow Twins: redundancy reduction between two views (Zbontar et al. 2021, arXiv:2103.03230)."""

import torch
from torch import Tensor

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.distributed.collectives import gather
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.heads import mlp


def cross_correlation(z1: Tensor, z2: Tensor, eps: float = 1e-5) -> Tensor:
    r"""Correlation of every dimension of one view with every dimension of the other (equation 2 of the paper).

    Each dimension is centred and divided by its deviation over the batch, per view. As in the published code the
    deviation is the biased one of a BatchNorm, :math:`\sqrt{Var + eps}`; the paper has no ``eps``.

    Args:
        z1: [N, D] embeddings of the first views.
        z2: [N, D] embeddings of the second views; row i is of the same input as row i of ``z1``.
        eps: added to the variances; a constant dimension then correlates with nothing instead of being undefined.

    Returns:
        [D, D], entries in [-1, 1]; computed in float32 at least.

    Raises:
        ValueError: shapes differ, or there is no second row to correlate over.
    """
    if z1.shape != z2.shape or z1.ndim != 2 or len(z1) < 2:
        raise ValueError(f"z1 and z2 must be [N, D] with N >= 2, not {tuple(z1.shape)} and {tuple(z2.shape)}")
    with torch.autocast(z1.device.type, enabled=False):  # sums over the batch need more than bf16
        first, second = (_standardised(z, eps) for z in (z1, z2))
        return first.T @ second / len(z1)


def barlow_twins(z1: Tensor, z2: Tensor, off_diagonal: float, eps: float = 1e-5) -> Tensor:
    r"""Distance of the cross-correlation from the identity (equation 1 of the paper), lambda being ``off_diagonal``.

    .. math:: L = \sum_i (1 - C_{ii})^2 + \lambda \sum_{i \ne j} C_{ij}^2

    Args:
        z1: [N, D] embeddings of the first views.
        z2: [N, D] embeddings of the second views.
        off_diagonal: lambda >= 0. There are D - 1 times as many terms off the diagonal as on it, so another D needs
            another lambda for the same balance.
        eps: see `cross_correlation`.

    Returns:
        Scalar; 0 for equal views of uncorrelated dimensions, D when all dimensions are constant.
    """
    c = cross_correlation(z1, z2, eps)
    on = c.diagonal()
    off = c - torch.diag(on)
    return (1 - on).square().sum() + off_diagonal * off.square().sum()


def _standardised(z: Tensor, eps: float) -> Tensor:
    z = z.to(torch.promote_types(z.dtype, torch.float32))
    return (z - z.mean(0)) * (z.var(0, correction=0) + eps).rsqrt()


class BarlowTwins(Method):
    """Backbone, projector without a norm at its end, and the redundancy of the two views."""

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
        off_diagonal: float,
        scale: float,
        layers: int,
        hidden_dim: int,
        out_dim: int,
    ):
        super().__init__(backbone, data)
        self.off_diagonal = off_diagonal
        self.scale = scale
        self.projector = mlp(backbone.dim, hidden_dim, out_dim, layers, last_bias=False)  # centring removes a bias

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take two views [B, ...]; as in the published code BatchNorm sees one view at a time."""
        z1, z2 = (gather(self.projector(self.backbone(view))) for view in task.views[:2])
        return {"loss": self.scale * barlow_twins(z1, z2, self.off_diagonal)}

    def embed(self, features: Tensor) -> Tensor:
        """Return the embeddings that the loss compares: [B, out_dim]."""
        return self.projector(features)
