"""SimSiam: exploring simple Siamese representation learning (Chen and He 2021, arXiv:2011.10566)."""

from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.heads import mlp, unit


def negative_cosine(p: Tensor, z: Tensor) -> Tensor:
    r"""Negative cosine similarity (equation 1 of the paper), averaged over rows.

    .. math:: D(p, z) = -\frac{1}{N} \sum_i \hat p_i \cdot \hat z_i

    Args:
        p: [N, d] predictions, any scale.
        z: [N, d] projections of the other view, any scale. Gradients flow unless the caller stops them.

    Returns:
        Scalar in [-1, 1]. Computed in float32 at least.
    """
    return -(unit(p) * unit(z)).sum(dim=1).mean()


class SimSiam(Method):
    """One network; a predictor on one view, a stopped gradient on the other: no negatives, no moving average.

    The projector ends in BatchNorm without scale and shift, as in the published code. With ``fix_predictor_lr`` the
    predictor's learning rate stays at its peak, as the paper has it (68.1 % instead of 67.7 % on ImageNet).
    """

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
        layers: int,
        hidden_dim: int,
        out_dim: int,
        predictor_dim: int,
        stop_gradient: bool,
        fix_predictor_lr: bool = False,
    ):
        super().__init__(backbone, data)
        self.projector = mlp(backbone.dim, hidden_dim, out_dim, layers, last_norm="plain")
        self.predictor = mlp(out_dim, predictor_dim, out_dim, layers=2)
        self.stop_gradient, self.fix_predictor_lr = stop_gradient, fix_predictor_lr

    def constant_lr(self) -> list[nn.Module]:
        """Return the predictor, if its learning rate stays at its peak."""
        return [self.predictor] if self.fix_predictor_lr else []

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take two views [B, ...]; the loss, in [-1, 1], is the mean of both directions (equation 2)."""
        z1, z2 = (self.projector(self.backbone(view)) for view in task.views[:2])
        p1, p2 = self.predictor(z1), self.predictor(z2)
        if self.stop_gradient:
            z1, z2 = z1.detach(), z2.detach()
        return {"loss": (negative_cosine(p1, z2) + negative_cosine(p2, z1)) / 2}

    def embed(self, features: Tensor) -> Tensor:
        """Return the projection z [B, out_dim]."""
        return self.projector(features)
