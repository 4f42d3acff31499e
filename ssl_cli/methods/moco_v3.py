"""MoCo v3: an empirical study of training self-supervised vision transformers (Chen et al. 2021, arXiv:2104.02057)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.distributed.collectives import gather
from ssl_cli.distributed.group import rank
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.ema import EMA
from ssl_cli.methods.shared.heads import mlp, unit


def ctr(q: Tensor, k: Tensor, temperature: float, offset: int = 0) -> Tensor:
    r"""Contrast queries with the keys of a batch (algorithm 1 of the paper), averaged over rows.

    With :math:`\hat q, \hat k` of unit length:

    .. math::
        L = \frac{2T}{N} \sum_i -\log \frac{e^{\hat q_i \cdot \hat k_{i+o} / T}}{\sum_m e^{\hat q_i \cdot \hat k_m / T}}

    The factor 2T keeps the size of the gradient about the same for every T. Negatives are the other view's keys only.

    Args:
        q: [N, d] queries, any scale.
        k: [M, d] keys of all ranks, any scale, M >= N + offset. No gradient reaches them.
        temperature: T > 0.
        offset: o: row i of ``q`` and row i + o of ``k`` are of the same input; N times the rank.

    Returns:
        Scalar; ``2T ln M`` when all rows are equal. Computed in float32 at least.
    """
    q, k = unit(q), unit(k.detach())
    with torch.autocast(q.device.type, enabled=False):  # log-sum-exp over negatives needs more than bf16
        logits = q @ k.T / temperature
    return 2 * temperature * F.cross_entropy(logits, torch.arange(len(q), device=q.device) + offset)


class MoCoV3(Method):
    """Queries by backbone, projector and predictor; keys by the moving average of backbone and projector; no queue.

    Momentum follows half a cosine to 1. Heads are the published code's for ResNet: no linear layer has a bias, the
    projector ends in BatchNorm without scale and shift.
    """

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
        temperature: float,
        momentum: float,
        layers: int,
        hidden_dim: int,
        out_dim: int,
        predictor_norm: bool,
    ):
        super().__init__(backbone, data)
        self.temperature = temperature
        self.projector = mlp(backbone.dim, hidden_dim, out_dim, layers, last_norm="plain")
        last_norm = "plain" if predictor_norm else "none"
        self.predictor = mlp(out_dim, hidden_dim, out_dim, 2, last_norm, last_bias=False)
        self.teacher = EMA(nn.Sequential(backbone, self.projector), momentum, schedule="cosine")

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take two views [B, ...]; the loss is the sum of both directions, as in the paper."""
        views = task.views[:2]
        q1, q2 = (self.predictor(self.projector(self.backbone(view))) for view in views)
        k1, k2 = (gather(self.teacher(view)) for view in views)
        offset = rank() * len(q1)
        return {"loss": ctr(q1, k2, self.temperature, offset) + ctr(q2, k1, self.temperature, offset)}

    def after_step(self, progress: float) -> None:
        """Update the key encoder."""
        self.teacher.update(nn.Sequential(self.backbone, self.projector), progress)

    def embed(self, features: Tensor) -> Tensor:
        """Return the projection [B, out_dim], as in the keys."""
        return self.projector(features)
