"""DINO: self-distillation with no labels (Caron et al. 2021, arXiv:2104.14294)."""

import torch
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.distributed.collectives import all_reduce_sum
from ssl_cli.distributed.group import world_size
from ssl_cli.errors import UserError
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.crops import encode
from ssl_cli.methods.shared.ema import EMA
from ssl_cli.methods.shared.heads import unit


def dino_targets(t: Tensor, c: Tensor, temperature: float | Tensor) -> Tensor:
    """Return the teacher's distributions ``softmax((t - c) / temperature)`` of its logits [..., K] and the centre [K].

    Without sharpening (a low temperature) they become uniform; without centring one prototype takes all (section 5.3
    of the paper). Computed in float32 at least.
    """
    t = t.to(torch.promote_types(t.dtype, torch.float32))
    return ((t - c) / temperature).softmax(dim=-1)


def dino_loss(s: Tensor, p: Tensor, temperature: float) -> Tensor:
    r"""Cross-entropy between the teacher's and the student's views of an input (equation 3 of the paper).

    .. math:: L = \frac{1}{G (V - 1)} \sum_g \sum_{v \ne g} \frac1B \sum_b - p_{gb} \cdot \log softmax(s_{vb} / T)

    The paper sums over pairs of views; this is their mean, as in the published code.

    Args:
        s: [V, B, K] student logits of all views, the G global ones first.
        p: [G, B, K] teacher distributions of the global views (`dino_targets`); no gradient flows into them.
        temperature: T > 0, of the student.

    Returns:
        Scalar; ``ln K`` when the student is uniform. Computed in float32 at least.

    Raises:
        ValueError: shapes do not fit, or there are no two different views.
    """
    if s.ndim != 3 or p.ndim != 3 or s.shape[1:] != p.shape[1:] or len(s) < max(2, len(p)):
        raise ValueError(
            f"s and p must be [V, B, K] and [G, B, K] with V >= 2 and V >= G, not {tuple(s.shape)} and {tuple(p.shape)}"
        )
    views, batch, _ = s.shape
    with torch.autocast(s.device.type, enabled=False):  # log-sum-exp over prototypes needs more than bf16
        log_q = (s.to(torch.promote_types(s.dtype, torch.float32)) / temperature).log_softmax(dim=-1)
        pairs = -torch.einsum("gbk,vbk->gv", p.detach(), log_q) / batch
    same = torch.eye(len(p), views, dtype=torch.bool, device=s.device)
    return pairs.masked_fill(same, 0).sum() / (len(p) * (views - 1))


def warmed_up(progress: float, start: float, end: float, warmup: float) -> float:
    """Return the value that rises linearly from ``start`` to ``end`` over the share ``warmup`` of the training."""
    return start + (end - start) * min(1.0, progress / warmup) if warmup else end


class Head(nn.Module):
    """Three linear layers with GELU, unit length, then the similarity to each prototype: [B, in_dim] -> [B, K].

    The prototypes are the published code's weight-normalised last layer with its gain fixed to 1: unit vectors. With
    ``norm`` a BatchNorm follows each linear layer; the published option leaves out the last, which here centres the
    embeddings before they are scaled to unit length.
    """

    def __init__(
        self,
        in_dim: int,
        hidden_dim: int,
        bottleneck_dim: int,
        prototypes: int,
        norm: bool,
        std: float | None = None,
    ):
        super().__init__()
        parts: list[nn.Module] = []
        for width in (in_dim, hidden_dim):
            parts += [nn.Linear(width, hidden_dim, bias=not norm)]
            parts += [nn.BatchNorm1d(hidden_dim), nn.GELU()] if norm else [nn.GELU()]
        parts += [nn.Linear(hidden_dim, bottleneck_dim, bias=not norm)]
        parts += [nn.BatchNorm1d(bottleneck_dim, affine=False)] if norm else []
        self.mlp = nn.Sequential(*parts)
        self.prototypes = nn.Linear(bottleneck_dim, prototypes, bias=False)
        self.register_buffer("frozen", torch.tensor(False))  # whether the prototypes stay fixed in this epoch
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=std or layer.in_features**-0.5)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)  # a random one would outweigh the differences between inputs

    def embed(self, features: Tensor) -> Tensor:
        """Return the embeddings that are compared to the prototypes: unit vectors [B, bottleneck_dim]."""
        return unit(self.mlp(features))

    def forward(self, features: Tensor) -> Tensor:
        """Return logits [B, K] in [-1, 1], before any temperature."""
        z, w = self.embed(features), unit(self.prototypes.weight)
        w = torch.where(self.frozen, w.detach(), w)  # a zero gradient; weight decay does not turn a direction either
        with torch.autocast(z.device.type, enabled=False):  # the temperatures magnify bf16's rounding
            return z @ w.T


class DINO(Method):
    """A student learns from all views to predict the outputs of its slow copy, the teacher, for the two global ones.

    The student's backbone is kept and probed; the paper reports its teacher's results.
    """

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
        prototypes: int,
        hidden_dim: int,
        bottleneck_dim: int,
        head_norm: bool,
        student_temperature: float,
        teacher_temperature: float,
        teacher_temperature_start: float,
        teacher_warmup: float,
        momentum: float,
        centre_momentum: float,
        freeze_epochs: int,
        head_std: float | None = None,
    ):
        super().__init__(backbone, data)
        if prototypes > data.train_size:
            raise UserError(
                f"method.prototypes={prototypes} is more than the {data.train_size} train {data.noun}s of {data.name}, "
                f"and some would never be used; write method.prototypes={max(2, data.train_size // 10)} or less"
            )
        self.student_temperature = student_temperature
        self.sharpening = (teacher_temperature_start, teacher_temperature, teacher_warmup)
        self.centre_momentum = centre_momentum
        self.freeze_epochs = freeze_epochs
        self.head = Head(backbone.dim, hidden_dim, bottleneck_dim, prototypes, head_norm, head_std)
        self.teacher = EMA(nn.Sequential(backbone, self.head), momentum, end=1.0, schedule="cosine")
        self.register_buffer("centre", torch.zeros(prototypes))
        self.register_buffer("teacher_temperature", torch.tensor(warmed_up(0, *self.sharpening)))

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take two global views [B, ...], then any number of local ones of any sizes."""
        t = self.teacher(torch.cat(task.views[:2])).unflatten(0, (2, -1))
        p = dino_targets(t, self.centre, self.teacher_temperature)
        s = self.head(encode(self.backbone, task.views)).unflatten(0, (len(task.views), -1))
        if self.training:
            mean = all_reduce_sum(t.mean((0, 1))) / world_size()
            self.centre.lerp_(mean.to(self.centre.dtype), 1 - self.centre_momentum)  # for the next step
        entropy = torch.special.entr(p).sum(-1).mean()  # ln K: uniform collapse; 0: one prototype takes all
        return {"loss": dino_loss(s, p, self.student_temperature), "teacher_entropy": entropy}

    def start_epoch(self, epoch: int) -> None:
        """Freeze or free the prototypes."""
        self.head.frozen.fill_(epoch < self.freeze_epochs)

    def after_step(self, progress: float) -> None:
        """Update the teacher, and warm up its temperature."""
        self.teacher.update(nn.Sequential(self.backbone, self.head), progress)
        self.teacher_temperature.fill_(warmed_up(progress, *self.sharpening))

    def embed(self, features: Tensor) -> Tensor:
        """Return the embeddings that are compared to the prototypes: [B, bottleneck_dim]."""
        return self.head.embed(features)
