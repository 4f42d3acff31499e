"""BYOL: bootstrap your own latent (Grill et al. 2020, arXiv:2006.07733)."""

from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.ema import EMA
from ssl_cli.methods.shared.heads import mlp, unit


def regression(p: Tensor, z: Tensor) -> Tensor:
    r"""Squared distance of prediction and target on the unit sphere (equation 2 of the paper), averaged over rows.

    .. math:: L = \frac{1}{N} \sum_i \lVert \hat p_i - \hat z_i \rVert^2 = 2 - \frac{2}{N} \sum_i \hat p_i \hat z_i

    Args:
        p: [N, d] predictions of the online network, any scale.
        z: [N, d] projections of the target network for the other view, any scale. No gradient reaches them.

    Returns:
        Scalar in [0, 4]: 0 for equal directions, 2 for orthogonal ones. Computed in float32 at least.
    """
    return 2 - 2 * (unit(p) * unit(z.detach())).sum(dim=1).mean()


class BYOL(Method):
    """The online network predicts, from one view, its moving average's projection of the other; without negatives.

    Momentum follows half a cosine to 1. The target starts as a copy of the online network; in the published code it
    starts from other random weights. There and in the paper the projector ends without BatchNorm. With it
    (``projector_norm``, as in SimSiam and MoCo v3) a short training with Adam keeps more dimensions in use.
    """

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
        momentum: float,
        hidden_dim: int,
        out_dim: int,
        projector_norm: bool,
    ):
        super().__init__(backbone, data)
        # As in the published code the last layers have no bias; the predictor's BatchNorm would cancel the projector's.
        last_norm = "plain" if projector_norm else "none"
        self.projector = mlp(backbone.dim, hidden_dim, out_dim, 2, last_norm, last_bias=False)
        self.predictor = mlp(out_dim, hidden_dim, out_dim, layers=2, last_bias=False)
        self.teacher = EMA(nn.Sequential(backbone, self.projector), momentum, schedule="cosine")

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take two views [B, ...]; the loss, in [0, 8], is the sum of both directions, as in the paper."""
        views = task.views[:2]
        p1, p2 = (self.predictor(self.projector(self.backbone(view))) for view in views)
        z1, z2 = (self.teacher(view) for view in views)
        return {"loss": regression(p1, z2) + regression(p2, z1)}

    def after_step(self, progress: float) -> None:
        """Update the target network."""
        self.teacher.update(nn.Sequential(self.backbone, self.projector), progress)

    def embed(self, features: Tensor) -> Tensor:
        """Return the projection [B, out_dim], as in the targets."""
        return self.projector(features)
