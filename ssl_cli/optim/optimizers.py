"""Optimizers, built from the parameter groups of a method and the global batch size."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

from ssl_cli.errors import UserError
from ssl_cli.optim.eager import eager_optimizer
from ssl_cli.optim.schedule import effective_lr


def sgd(
    param_groups: list[dict],
    batch_size: int,
    lr: float,
    scale: str = "linear",
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    nesterov: bool = False,
) -> Optimizer:
    """Stochastic gradient descent; the learning rate of every group is `schedule.effective_lr`."""
    lr = effective_lr(lr, scale, batch_size)
    return _remember_lr(
        eager_optimizer(
            torch.optim.SGD,
            param_groups,
            lr,
            momentum,
            weight_decay=weight_decay,
            nesterov=nesterov,
            fused=_can_fuse(param_groups),
        )
    )


def adamw(
    param_groups: list[dict],
    batch_size: int,
    lr: float,
    scale: str = "none",
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> Optimizer:
    """AdamW (arXiv:1711.05101); the learning rate of every group is `schedule.effective_lr`."""
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise UserError(f"optimizer.betas={list(betas)} are not two numbers in [0, 1); write [0.9, 0.999]")
    lr = effective_lr(lr, scale, batch_size)
    return _remember_lr(
        eager_optimizer(
            torch.optim.AdamW, param_groups, lr, tuple(betas), eps, weight_decay, fused=_can_fuse(param_groups)
        )
    )


def lars(
    param_groups: list[dict],
    batch_size: int,
    lr: float,
    scale: str = "linear",
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    eta: float = 0.001,
) -> Optimizer:
    """`LARS`; the learning rate of every group is `schedule.effective_lr`."""
    lr = effective_lr(lr, scale, batch_size)
    return _remember_lr(eager_optimizer(LARS, param_groups, lr, momentum, weight_decay, eta))


def _can_fuse(groups: list[dict]) -> bool:
    return all(p.device.type in ("cpu", "cuda") for group in groups for p in group["params"])


def _remember_lr(optimizer: Optimizer) -> Optimizer:
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"] * group.get("lr_scale", 1.0)  # what the schedule's factor multiplies
    return optimizer


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling (You, Gitman and Ginsburg 2017, arXiv:1708.03888).

    With d = g + weight_decay w, each tensor of a group with ``lars=True`` (the default) takes d eta |w| / |d| in place
    of d, or d itself where either norm is 0; then m <- momentum m + d and w <- w - lr m.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        eta: float = 0.001,
        lars: bool = True,
    ):
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "eta": eta, "lars": lars}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Take one step; ``closure``, where given, computes the loss anew and its value is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self._step_group(params, group)
        return loss

    def _step_group(self, params: list[Tensor], group: dict) -> None:
        directions = torch._foreach_add([p.grad for p in params], params, alpha=group["weight_decay"])
        if group["lars"]:
            torch._foreach_mul_(directions, _trust_ratios(params, directions, group["eta"]))
        buffers = [self.state[p].setdefault("momentum_buffer", torch.zeros_like(p)) for p in params]
        torch._foreach_mul_(buffers, group["momentum"])
        torch._foreach_add_(buffers, directions)
        torch._foreach_add_(params, buffers, alpha=-group["lr"])


def _trust_ratios(params: list[Tensor], directions: list[Tensor], eta: float) -> list[Tensor]:
    """Return eta |w| / |d| for each tensor as a scalar on its device (no wait for the device), 1 where a norm is 0."""
    w = torch.stack(torch._foreach_norm(params))
    d = torch.stack(torch._foreach_norm(directions))
    return list(torch.where((w > 0) & (d > 0), eta * w / d, 1.0).unbind())
