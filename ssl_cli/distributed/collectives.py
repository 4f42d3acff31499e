"""What ranks exchange in a step: collectives that carry gradients, and small numbers.

The rule: a loss that looks at other inputs gathers them from all ranks, with gradient, and every rank computes the
loss of the whole batch. DDP averages the ranks' gradients; the gather's backward sums them: together that is exactly
the gradient of one process.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from ssl_cli.distributed.group import rank, world_size


def gather(x: Tensor) -> Tensor:
    """Concatenate [B, ...] of all ranks in rank order: [world * B, ...], with gradient; every rank has the same B."""
    return _Gather.apply(x) if world_size() > 1 else x


def all_reduce_sum(x: Tensor) -> Tensor:
    """Sum over ranks, with gradient."""
    return _AllReduceSum.apply(x) if world_size() > 1 else x


def rank_rows(rows: Tensor, parts: int = 1) -> Tensor:
    """Return this rank's rows [B / world, ...] of a global batch [B, ...] that is worked through in ``parts`` parts.

    Every world-th row, so that each rank begins with its share of the labelled ones; and such that part p of all ranks
    together (every ``parts``-th of their rows) is part p of one process.
    """
    return rows.unflatten(0, (-1, world_size(), parts))[:, rank()].flatten(0, 1) if world_size() > 1 else rows


def mean_over_ranks(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the mean over ranks of scalars that every rank has under the same names; in one message."""
    if world_size() == 1 or not values:
        return {key: value.item() for key, value in values.items()}
    means = torch.stack([value.detach().float() for value in values.values()])
    dist.all_reduce(means)
    return dict(zip(values, (means / world_size()).tolist(), strict=True))


def max_over_ranks(value: int) -> int:
    """Return the largest value that any rank has: so all hear of a signal that one of them got, at the same step."""
    if world_size() == 1:
        return value
    shared = torch.tensor(value)  # on the CPU: a GPU would have to finish its step first
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return int(shared)


def data_parallel(method: nn.Module, synchronised: bool) -> nn.Module:
    """Return what is called in the place of ``method`` so that its gradients become the mean over ranks.

    Args:
        method: equal on all ranks.
        synchronised: whether its norms are. If not, each rank's running statistics would be its own: then those of rank
            0 go to all before each step, so that what rank 0 saves is what all have.
    """
    if world_size() == 1:
        return method
    if not synchronised:
        norms = [name for name, part in method.named_modules() if isinstance(part, _BatchNorm)]
        others = [name for name, _ in method.named_buffers() if name.rpartition(".")[0] not in norms]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(method, others)
    model = DistributedDataParallel(method)
    model.broadcast_buffers = not synchronised
    return model


def averaging(model: nn.Module, now: bool) -> contextlib.AbstractContextManager:
    """Return the context of a forward pass: gradients are averaged after the last part of a step, not after each."""
    return contextlib.nullcontext() if now or world_size() == 1 else model.no_sync()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad.chunk(world_size())[rank()]


class _AllReduceSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.clone()
        dist.all_reduce(grad)
        return grad
