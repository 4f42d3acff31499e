"""SwAV: swapping assignments between views (Caron et al. 2020, arXiv:2006.09882)."""

from typing import Literal

import torch
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.distributed.collectives import gather
from ssl_cli.distributed.group import rank
from ssl_cli.errors import UserError
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.crops import encode
from ssl_cli.methods.shared.heads import mlp, unit


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    r"""Assign inputs to prototypes so that all prototypes get about the same mass (Cuturi 2013; section 3.1 of SwAV).

    Alternately normalises prototypes and inputs of :math:`\exp(S / \epsilon)`, towards the Q that maximises
    :math:`\mathrm{Tr}(Q^T S) + \epsilon H(Q)` among the equal partitions. It computes with logarithms, so no epsilon
    overflows or empties a prototype; the published code exponentiates and gets the same values.

    Args:
        scores: S [B, K], similarity of input and prototype.
        epsilon: > 0; small makes the codes hard.
        iterations: at least 1 (published: 3; with more, the masses of the prototypes come closer to equal).

    Returns:
        The codes: B Q [B, K] >= 0 without gradient. Rows sum to 1; columns to about B / K.
    """
    log_q = scores / epsilon
    for _ in range(iterations):
        log_q = log_q.log_softmax(dim=0)  # each prototype has the same mass
        log_q = log_q.log_softmax(dim=1)  # each input has the same mass: last, so that codes are distributions
    return log_q.exp()


def swapped_prediction(scores: list[Tensor], codes: list[Tensor], temperature: float) -> Tensor:
    """Predict the code of a view from the scores of every other view (equation 2; with small crops, equation 6).

    Args:
        scores: S_v of each view, [B, K].
        codes: q_v of the first views, [B, K]; rows sum to 1.
        temperature: T > 0 of the softmax over prototypes.

    Returns:
        The cross-entropy ``-q_v . log softmax(S_w / T)``, averaged over inputs and over all pairs v != w; ``ln K``
        for uniform predictions. The paper and its code divide in the same way.
    """
    log_p = [(s / temperature).log_softmax(dim=1) for s in scores]
    pairs = [(q, p) for v, q in enumerate(codes) for w, p in enumerate(log_p) if v != w]
    return torch.stack([-(q * p).sum(dim=1).mean() for q, p in pairs]).mean()


class SwAV(Method):
    """Backbone, projector, unit-length prototypes; codes by Sinkhorn-Knopp over the global batch and the queue.

    The first two views give codes, and all views predict them. As in the published code, prototypes are scaled to unit
    length between steps (no gradient through the norm), each of the two views has its own codes and queue, and a queue
    counts once it is full.
    """

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
        prototypes: int,
        temperature: float,
        epsilon: float,
        iterations: int,
        freeze_epochs: int,
        queue: int,
        queue_epoch: int,
        layers: int,
        hidden_dim: int,
        out_dim: int,
        last_norm: Literal["none", "affine", "plain"],
    ):
        super().__init__(backbone, data)
        if prototypes > data.train_size:
            raise UserError(
                f"method.prototypes={prototypes} is more than the {data.train_size} train {data.noun}s of {data.name}; "
                f"write method.prototypes={max(data.train_size // 10, 2)} or less"
            )
        self.temperature, self.epsilon, self.iterations = temperature, epsilon, iterations
        self.freeze_epochs, self.queue_epoch = freeze_epochs, queue_epoch
        self.projector = mlp(backbone.dim, hidden_dim, out_dim, layers, last_norm)
        self.prototypes = nn.Parameter(unit(torch.randn(prototypes, out_dim)))
        self.register_buffer("frozen", torch.tensor(False))  # whether the prototypes stay fixed in this epoch
        self.register_buffer("queue", torch.zeros(2, queue, out_dim))  # per view, unit rows, the newest first
        self.register_buffer("queued", torch.tensor(-1))  # rows filled; -1: the queue has not begun

    def start_epoch(self, epoch: int) -> None:
        """Freeze or free the prototypes; begin the queue."""
        self.frozen.fill_(epoch < self.freeze_epochs)
        if epoch == self.queue_epoch:
            self.queued.fill_(0)

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take ``task.views`` of at least two tensors [B, ...]; the first two give the codes."""
        z = unit(self.projector(encode(self.backbone, task.views)))
        prototypes = torch.where(self.frozen, self.prototypes.detach(), self.prototypes)
        with torch.autocast(z.device.type, enabled=False):
            scores = (z @ prototypes.T).chunk(len(task.views))
            codes = self.codes(z.detach().chunk(len(task.views))[:2])
        mean = scores[0].detach().div(self.temperature).softmax(dim=1).mean(dim=0)
        return {
            "loss": swapped_prediction(scores, codes, self.temperature),
            "code_entropy": torch.special.entr(torch.cat(codes)).sum(dim=1).mean(),  # 0: hard; ln K: no preference
            "prototypes_used": torch.special.entr(mean).sum().exp(),  # perplexity of the mean prediction, 1 to K
        }

    def check_batch(self, inputs: int) -> None:
        """Raise ``UserError`` unless the queue, if there is one, holds a whole number of batches."""
        size = self.queue.shape[1]
        if size % inputs:
            raise UserError(
                f"method.queue={size} does not hold a whole number of batches of {inputs} {self.data.noun}s; "
                f"write method.queue={max(size // inputs, 1) * inputs}, or method.queue=0 for none"
            )

    @torch.no_grad()
    def codes(self, views: list[Tensor]) -> list[Tensor]:
        """Return the codes [B, K] of this rank's rows of two views [B, d] of unit rows, and queue the views."""
        z = torch.stack([gather(view) for view in views])
        pool, batch, size = z, z.shape[1], self.queue.shape[1]
        self.check_batch(batch)
        if size and self.queued >= 0:
            if self.queued == size:
                pool = torch.cat([z, self.queue], dim=1)
            self.queue.copy_(torch.cat([z, self.queue], dim=1)[:, :size])
            self.queued.add_(batch).clamp_(max=size)
        own = slice(rank() * len(views[0]), (rank() + 1) * len(views[0]))
        return [sinkhorn(rows @ self.prototypes.T, self.epsilon, self.iterations)[own] for rows in pool]

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Scale the prototypes back to unit length."""
        self.prototypes.copy_(unit(self.prototypes))

    def embed(self, features: Tensor) -> Tensor:
        """Return the embeddings to compare to the prototypes, before they are scaled to unit length: [B, out_dim]."""
        return self.projector(features)
