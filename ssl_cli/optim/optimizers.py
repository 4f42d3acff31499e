"""Optimizers, built from the parameter groups of a method and the global batch size.

Their common arguments are those of `arranged`, and of `schedule.effective_lr`, which gives the learning rate.
"""

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
    weight_decay_end: float | None = None,
    decay_1d: bool = False,
    lr_1d: float = 1.0,
) -> Optimizer:
    """Stochastic gradient descent."""
    groups = arranged(param_groups, weight_decay, weight_decay_end, decay_1d, lr_1d)
    lr, fused = effective_lr(lr, scale, batch_size), _can_fuse(groups)
    return _remember_lr(
        eager_optimizer(
            torch.optim.SGD, groups, lr, momentum, weight_decay=weight_decay, nesterov=nesterov, fused=fused
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
    weight_decay_end: float | None = None,
    decay_1d: bool = False,
    lr_1d: float = 1.0,
) -> Optimizer:
    """AdamW (arXiv:1711.05101)."""
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise UserError(f"optimizer.betas={list(betas)} are not two numbers in [0, 1); write [0.9, 0.999]")
    groups = arranged(param_groups, weight_decay, weight_decay_end, decay_1d, lr_1d)
    lr, fused = effective_lr(lr, scale, batch_size), _can_fuse(groups)
    return _remember_lr(eager_optimizer(torch.optim.AdamW, groups, lr, tuple(betas), eps, weight_decay, fused=fused))


def lars(
    param_groups: list[dict],
    batch_size: int,
    lr: float,
    scale: str = "linear",
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    eta: float = 0.001,
    clip_lr: bool = False,
    separate_norms: bool = False,
    adapt_1d: bool = False,
    weight_decay_end: float | None = None,
    decay_1d: bool = False,
    lr_1d: float = 1.0,
) -> Optimizer:
    """`LARS`; with ``adapt_1d`` its ratio applies to biases and norms, too."""
    groups = arranged(param_groups, weight_decay, weight_decay_end, decay_1d, lr_1d)
    for group in groups:
        if group.get("vectors"):
            group["lars"] = adapt_1d
    lr = effective_lr(lr, scale, batch_size)
    return _remember_lr(eager_optimizer(LARS, groups, lr, momentum, weight_decay, eta, True, clip_lr, separate_norms))


def arranged(
    param_groups: list[dict], weight_decay: float, weight_decay_end: float | None, decay_1d: bool, lr_1d: float
) -> list[dict]:
    """Return copies of the groups of a method with what the settings say of them.

    Args:
        param_groups: see `ssl_cli.optim.groups.param_groups`.
        weight_decay: at the first step, of the groups that have none of their own.
        weight_decay_end: after the last step; None: as at the first. `follow_schedule` brings it there.
        decay_1d: whether vectors (biases, norms) decay like the rest.
        lr_1d: learning rate of vectors, as a multiple of the others'.

    Raises:
        UserError: ``weight_decay_end`` is no number.
    """
    if weight_decay_end is not None and not isinstance(weight_decay_end, (int, float)):
        raise UserError(
            f"optimizer.weight_decay_end={weight_decay_end} is not a number; write null to keep it constant"
        )
    groups = []
    for group in map(dict, param_groups):
        if group.get("vectors"):
            group["lr_scale"] = group.get("lr_scale", 1.0) * lr_1d
            if decay_1d:
                del group["weight_decay"]
        if weight_decay_end is not None and "weight_decay" not in group:
            group |= {"initial_weight_decay": weight_decay, "weight_decay_end": weight_decay_end}
        groups.append(group)
    return groups


def _can_fuse(groups: list[dict]) -> bool:
    return all(p.device.type in ("cpu", "cuda") for group in groups for p in group["params"])


def _remember_lr(optimizer: Optimizer) -> Optimizer:
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"] * group.get("lr_scale", 1.0)  # what the schedule's factor multiplies
    return optimizer


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling (You, Gitman and Ginsburg 2017, arXiv:1708.03888).

    With d = g + weight_decay w, each tensor of a group with ``lars=True`` (the default) takes r d in place of d, with
    r = eta |w| / |d|; then m <- momentum m + d and w <- w - lr m. Where w or the gradient is 0, d stays as it is.

    Args:
        params: parameters, or groups of them.
        lr: learning rate.
        momentum: share of m that carries over, in [0, 1).
        weight_decay: >= 0.
        eta: trust coefficient, > 0.
        lars: whether the ratio applies.
        clip_lr: take min(r / lr, 1) as the ratio: no tensor's rate is above ``lr`` (LARC's clipping, NVIDIA apex; also
            solo-learn, of which eta 0.02 is).
        separate_norms: r = eta |w| / (|g| + weight_decay |w|), as in the paper (equation 6), LARC and solo-learn;
            False: the norm of the sum, as in the code of Barlow Twins and VICReg.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        eta: float = 0.001,
        lars: bool = True,
        clip_lr: bool = False,
        separate_norms: bool = False,
    ):
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "eta": eta, "lars": lars}
        super().__init__(params, defaults | {"clip_lr": clip_lr, "separate_norms": separate_norms})

    def __setstate__(self, state: dict) -> None:
        """Take a state; older ones know neither ``clip_lr`` nor ``separate_norms``."""
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("clip_lr", False)
            group.setdefault("separate_norms", False)

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
            torch._foreach_mul_(directions, _trust_ratios(params, directions, group))
        for p in params:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        buffers = [self.state[p]["momentum_buffer"] for p in params]
        torch._foreach_mul_(buffers, group["momentum"])
        torch._foreach_add_(buffers, directions)
        torch._foreach_add_(params, buffers, alpha=-group["lr"])


def _trust_ratios(params: list[Tensor], directions: list[Tensor], group: dict) -> list[Tensor]:
    """Return each tensor's ratio as a scalar on its device (no wait for the device)."""
    w = torch.stack(torch._foreach_norm(params))
    d = torch.stack(torch._foreach_norm([p.grad for p in params] if group["separate_norms"] else directions))
    ratios = group["eta"] * w / (d + group["weight_decay"] * w if group["separate_norms"] else d)
    if group["clip_lr"]:
        ratios = (ratios / group["lr"]).clamp(max=1.0)
    # Without weights there is no layer to be relative to; without a gradient none to follow, and none to decay by.
    return list(torch.where((w > 0) & (d > 0), ratios, (w == 0).to(w.dtype)).unbind())
