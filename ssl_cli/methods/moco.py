"""MoCo v2: momentum contrast (He et al. 2020, arXiv:1911.05722; Chen et al. 2020, arXiv:2003.04297)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.backbones.norms import SplitBatchNorm
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.distributed.collectives import gather
from ssl_cli.distributed.group import rank, world_size
from ssl_cli.errors import UserError
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.choices import one_of
from ssl_cli.methods.shared.ema import EMA
from ssl_cli.methods.shared.heads import mlp, unit


def info_nce(q: Tensor, k: Tensor, queue: Tensor, temperature: float) -> Tensor:
    r"""Cross-entropy of a query's own key against the keys of a queue (equation 1 of MoCo), averaged over rows.

    With :math:`\hat q, \hat k` of unit length and :math:`Q_m` the rows of the queue:

    .. math::
        L = \frac{1}{N} \sum_i -\log \frac{e^{\hat q_i \cdot \hat k_i / T}}
            {e^{\hat q_i \cdot \hat k_i / T} + \sum_m e^{\hat q_i \cdot Q_m / T}}

    Args:
        q: [N, d] queries, any scale.
        k: [N, d] keys, any scale; row i is of the same input as row i of ``q``. No gradient reaches them.
        queue: [K, d] older keys, of unit length; they are negatives only.
        temperature: T > 0.

    Returns:
        Scalar; ``ln(1 + K)`` when all rows are equal. Computed in float32 at least.
    """
    q, k = unit(q), unit(k.detach())
    with torch.autocast(q.device.type, enabled=False):  # log-sum-exp over negatives needs more than bf16
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], dim=1) / temperature
    return F.cross_entropy(logits, logits.new_zeros(len(q), dtype=torch.int64))


class MoCo(Method):
    """Queries by the trained encoder, keys by its moving average, negatives from a queue of the last keys.

    A step compares with the queue as it was, then replaces the oldest keys by its own. The average follows after the
    optimizer's step. The published code updates it before the next forward pass, which differs only at the first step.

    If BatchNorm normalises parts of a batch (of each rank, or by ``backbone.split_norms``), keys are computed in
    shuffled order: an input's query and key must not share statistics, which would give the pair away (section 3.3 of
    MoCo).

    The published head of v2 has no BatchNorm; with it (``hidden_norm``) a small net spreads its embeddings from the
    start, not only after some hundred steps. The head of v1, and of the published CIFAR demo, is one linear map.
    """

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
        temperature: float,
        queue_size: int,
        momentum: float,
        symmetric: bool,
        hidden_dim: int,
        out_dim: int,
        hidden_norm: bool,
        layers: int = 2,
        reduction: Literal["mean", "sum"] = "mean",
    ):
        super().__init__(backbone, data)
        self.temperature, self.symmetric = temperature, symmetric
        self.reduction = one_of("reduction", reduction, ("mean", "sum"))
        self.projector = mlp(backbone.dim, hidden_dim, out_dim, layers, hidden_norm=hidden_norm)
        self.in_parts = any(isinstance(part, SplitBatchNorm) for part in backbone.modules())
        self.teacher = EMA(nn.Sequential(backbone, self.projector), momentum)
        self.register_buffer("queue", unit(torch.randn(queue_size, out_dim)))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))  # row of the oldest key

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take two views [B, ...]: queries of the first, keys of the second; with ``symmetric``, also the reverse.

        Raises:
            UserError: the queue does not hold a whole number of batches.
        """
        first, second = task.views[:2]
        directions = [(first, second), (second, first)] if self.symmetric else [(first, second)]
        self.check_batch(len(first) * world_size())
        queue = self.queue.clone()  # backward still needs it after new keys are written
        losses, keys = [], []
        for query_images, key_images in directions:
            q, k = self.projector(self.backbone(query_images)), self._keys(key_images)
            losses.append(info_nce(q, k.chunk(world_size())[rank()], queue, self.temperature))
            keys.append(k)
        self._enqueue(torch.cat(keys))
        both = torch.stack(losses)
        return {"loss": both.sum() if self.reduction == "sum" else both.mean()}

    def after_step(self, progress: float) -> None:
        """Update the key encoder."""
        self.teacher.update(nn.Sequential(self.backbone, self.projector), progress)

    def embed(self, features: Tensor) -> Tensor:
        """Return the embeddings that the loss compares: [B, out_dim]."""
        return self.projector(features)

    @torch.no_grad()
    def _keys(self, inputs: Tensor) -> Tensor:
        """Return the keys of all ranks [world * B, d], of unit length, in rank order."""
        if world_size() == 1 and not self.in_parts:
            return unit(self.teacher(inputs))
        inputs = gather(inputs.contiguous())
        order = gather(torch.randperm(len(inputs), device=inputs.device))[: len(inputs)]  # rank 0's, on every rank
        keys = gather(unit(self.teacher(inputs[order.chunk(world_size())[rank()]])))
        return keys[order.argsort()]

    @torch.no_grad()
    def _enqueue(self, keys: Tensor) -> None:
        rows = (self.pointer + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[rows] = keys.to(self.queue.dtype)
        self.pointer.add_(len(keys)).remainder_(len(self.queue))

    def check_batch(self, inputs: int) -> None:
        """Raise ``UserError`` unless the queue holds a whole number of batches."""
        size, keys = len(self.queue), inputs * (2 if self.symmetric else 1)
        if size % keys:
            raise UserError(
                f"method.queue_size={size} is not a multiple of the {keys} keys that each step adds "
                f"(inputs of all processes{', two views each' if self.symmetric else ''}); "
                f"write method.queue_size={max(1, round(size / keys)) * keys}"
            )
