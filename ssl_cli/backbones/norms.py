"""BatchNorm with a momentum of its own, and over parts of a batch as if each were on its own device."""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ssl_cli.errors import UserError, did_you_mean


class SplitBatchNorm(_BatchNorm):
    """BatchNorm whose statistics in training are those of ``splits`` equal parts of a batch (MoCo's CIFAR-10 demo).

    Row n belongs to part n modulo ``splits``. Running statistics are the mean over parts. A batch that cannot be cut
    so (when probes fine-tune on a few inputs) is cut into as many parts as divide both.
    """

    def __init__(self, channels: int, splits: int, momentum: float = 0.1):
        super().__init__(channels, momentum=momentum)
        self.splits = splits

    def _check_input_dim(self, x: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [B, C, ...] by the statistics of each part in train mode, by the running ones otherwise."""
        if not self.training or (parts := math.gcd(len(x), self.splits)) == 1:
            return super().forward(x)
        self.num_batches_tracked.add_(1)
        mean, var, weight, bias = (
            part.repeat(parts) for part in (self.running_mean, self.running_var, self.weight, self.bias)
        )
        beside = x.reshape(-1, parts * x.shape[1], *x.shape[2:])  # the parts as channels of their own
        out = F.batch_norm(beside, mean, var, weight, bias, True, self.momentum, self.eps).view(x.shape)
        self.running_mean.copy_(mean.view(parts, -1).mean(0))
        self.running_var.copy_(var.view(parts, -1).mean(0))
        return out


def batch_norm(channels: int, momentum: float, splits: int) -> _BatchNorm:
    """Return a BatchNorm of maps with the settings of a backbone."""
    return SplitBatchNorm(channels, splits, momentum) if splits > 1 else nn.BatchNorm2d(channels, momentum=momentum)


def check_norm(norm: str, known: Sequence[str], momentum: float, splits: int) -> None:
    """Raise ``UserError`` unless ``norm`` is ``known``, and what is set of BatchNorm is set where there is one."""
    if norm not in known:
        choice = f"{', '.join(known[:-1])} or {known[-1]}"
        raise UserError(f"backbone.norm={norm} is unknown{did_you_mean(str(norm), known)}; write {choice}")
    for key, value, default in (("norm_momentum", momentum, 0.1), ("split_norms", splits, 1)):
        if norm != "batch" and value != default:
            raise UserError(
                f"backbone.{key}={value} is of BatchNorm, and backbone.norm={norm}; leave backbone.{key} out"
            )


def check_splits(module: nn.Module, inputs: int, processes: int) -> None:
    """Raise ``UserError`` unless the norms of ``module`` can cut a training batch of so many inputs as told."""
    splits = max((part.splits for part in module.modules() if isinstance(part, SplitBatchNorm)), default=1)
    if splits > 1 and processes > 1:
        raise UserError(
            f"backbone.split_norms={splits} is for one process, and {processes} train together; write "
            "backbone.split_norms=1 trainer.synchronise_norms=false, and each normalises its own share"
        )
    if inputs % splits or inputs < 2 * splits:
        raise UserError(
            f"backbone.split_norms={splits} cannot cut the {inputs} inputs of a batch (or of a part of it) into equal "
            f"parts of at least 2; write trainer.batch_size={max(2, round(inputs / splits)) * splits} or a smaller "
            "backbone.split_norms"
        )
