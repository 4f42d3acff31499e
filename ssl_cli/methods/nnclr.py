"""NNCLR: with a little help from my friends (Dwibedi et al. 2021, arXiv:2104.14548)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.distributed.collectives import gather
from ssl_cli.errors import UserError
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.heads import mlp, unit


@torch.no_grad()
def nearest_neighbour(z: Tensor, queue: Tensor) -> Tensor:
    """Return for each row [N, d] the row of ``queue`` [K, d], of unit length, with the largest cosine: [N, d]."""
    z = unit(z)
    with torch.autocast(z.device.type, enabled=False):
        return queue[(z @ queue.to(z.dtype).T).argmax(dim=1)]


def info_nce(nn: Tensor, p: Tensor, temperature: float) -> Tensor:
    r"""Cross-entropy of finding an input's prediction by its neighbour (equation 3 of the paper), mean over N rows.

    .. math:: L = \frac{1}{N} \sum_i
              -\log \frac{e^{\hat n_i \cdot \hat p_i / T}}{\sum_k e^{\hat n_i \cdot \hat p_k / T}}

    Args:
        nn: [N, d] neighbours of one view of each input, any scale.
        p: [N, d] predictions of the other view, any scale; row i is of the same input as row i of ``nn``.
        temperature: T > 0.

    Returns:
        Scalar, in float32 at least; ``ln N`` when all rows of ``p`` are equal.
    """
    nn, p = unit(nn), unit(p)
    with torch.autocast(p.device.type, enabled=False):  # log-sum-exp over negatives needs more than bf16
        logits = nn @ p.T / temperature
    return F.cross_entropy(logits, torch.arange(len(p), device=p.device))


class NNCLR(Method):
    """Backbone, projector, predictor, and a support queue of past projections to look up the positives in.

    As in the paper's pseudo-code, both views are predicted (half the loss each), and the first view's projections are
    queued after the look-up. Gradient flows through the predictions only. By default the projector's last norm has no
    scale and shift. The paper's norm has both (``last_norm="affine"``), but the shift never learns: the norm in the
    predictor removes it.
    """

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
        temperature: float,
        queue_size: int,
        layers: int,
        hidden_dim: int,
        out_dim: int,
        predictor_hidden_dim: int,
        last_norm: Literal["plain", "affine"] = "plain",
    ):
        super().__init__(backbone, data)
        self.temperature = temperature
        self.projector = mlp(backbone.dim, hidden_dim, out_dim, layers, last_norm)
        self.predictor = mlp(out_dim, predictor_hidden_dim, out_dim, layers=2)
        self.register_buffer("queue", unit(torch.randn(queue_size, out_dim)))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))  # row of the oldest embedding

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take ``task.views`` of two tensors [B, ...]; look up neighbours, then queue the first views of all ranks.

        Raises:
            UserError: the queue does not hold a whole number of batches.
        """
        z = self.projector(self.backbone(torch.cat(task.views)))
        p1, p2 = map(gather, self.predictor(z).chunk(2))
        z1, z2 = map(gather, z.detach().chunk(2))
        nn1, nn2 = nearest_neighbour(z1, self.queue), nearest_neighbour(z2, self.queue)
        self._enqueue(z1)
        return {"loss": (info_nce(nn1, p2, self.temperature) + info_nce(nn2, p1, self.temperature)) / 2}

    def check_batch(self, inputs: int) -> None:
        """Raise ``UserError`` unless the queue holds a whole number of batches."""
        size = len(self.queue)
        if size % inputs:
            raise UserError(
                f"method.queue_size={size} is not a multiple of the {inputs} embeddings that each step adds "
                f"(inputs of all processes); write method.queue_size={max(1, round(size / inputs)) * inputs}"
            )

    @torch.no_grad()
    def _enqueue(self, z: Tensor) -> None:
        size, batch = len(self.queue), len(z)
        self.check_batch(batch)
        rows = (self.pointer + torch.arange(batch, device=z.device)) % size
        self.queue[rows] = unit(z).to(self.queue.dtype)
        self.pointer.add_(batch).remainder_(size)

    def embed(self, features: Tensor) -> Tensor:
        """Return the projections to queue and look up: [B, out_dim]."""
        return self.projector(features)
