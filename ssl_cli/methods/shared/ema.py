"""A slowly following copy of a network: the teacher, target or momentum encoder of many methods."""

import copy
import math
from typing import Any, Literal

import torch
from torch import nn


def ema_momentum(
    progress: float, start: float, end: float = 1.0, schedule: Literal["constant", "linear", "cosine"] = "constant"
) -> float:
    """Return the share that the copy keeps of itself at ``progress`` in [0, 1] of the training.

    ``constant`` is ``start`` (MoCo), ``linear`` goes straight to ``end`` (I-JEPA), ``cosine`` is
    ``end - (end - start) (cos(pi progress) + 1) / 2`` (BYOL, MoCo v3, DINO).
    """
    if schedule == "constant":
        return start
    share = progress if schedule == "linear" else (1 - math.cos(math.pi * progress)) / 2
    return start + (end - start) * share


class EMA(nn.Module):
    """Exponential moving average of a network's parameters: ``t <- m t + (1 - m) o`` after each optimizer step.

    It starts as a copy, gets no gradient, and is part of the state dict. Only parameters are averaged: in train mode
    the copy's BatchNorm sees the copy's own activations, so its running statistics are its own (as in BYOL, MoCo and
    DINO). ``buffers="copy"`` takes the online network's instead, which an evaluated average (FixMatch) needs.

    Args:
        online: the module, or a sequence of modules, to follow.
        start: m at the beginning, in [0, 1].
        end: m at the end, for the schedules that move.
        schedule: how m moves, see `ema_momentum`.
        buffers: ``own`` or ``copy``.
        warm: at step t = 0, 1, ... keep at most ``1 - 1/(t + 1)``: until this reaches m, the copy is the mean of all
            weights so far (Mean Teacher). So it soon forgets the random weights of the beginning.
    """

    def __init__(
        self,
        online: nn.Module,
        start: float,
        end: float = 1.0,
        schedule: Literal["constant", "linear", "cosine"] = "constant",
        buffers: Literal["own", "copy"] = "own",
        warm: bool = False,
    ):
        super().__init__()
        self.module = copy.deepcopy(online).requires_grad_(False)
        self.start, self.end, self.schedule, self.buffers_mode = start, end, schedule, buffers
        self.register_buffer("updates", torch.zeros((), dtype=torch.float64) if warm else None)

    @torch.no_grad()
    def forward(self, *args: Any) -> Any:
        """Return the copy's output for the input, without gradient."""
        return self.module(*args)

    @torch.no_grad()
    def update(self, online: nn.Module, progress: float) -> None:
        """Follow the online network by one step."""
        momentum = ema_momentum(progress, self.start, self.end, self.schedule)
        own, followed = list(self.module.parameters()), list(online.parameters())
        if self.updates is None:
            torch._foreach_lerp_(own, followed, 1 - momentum)
        else:  # on the device, without a synchronisation
            share = (1 / (self.updates + 1)).clamp_min(1 - momentum)
            steps = torch._foreach_sub(followed, own)
            torch._foreach_mul_(steps, share.to(own[0].dtype))
            torch._foreach_add_(own, steps)
            self.updates += 1
        if self.buffers_mode == "copy":
            for mine, theirs in zip(self.module.buffers(), online.buffers(), strict=True):
                mine.copy_(theirs)
