"""torch.optim without torch's compiler, whose import takes as long as that of torch itself; nothing here uses it."""

import inspect
from types import MethodType

import torch
from torch.optim import Optimizer


def spare_compiler() -> None:
    """Let optimizers be made and saved without ``torch._dynamo``, which their methods import to be left alone by it.

    What ``torch._compile._disable_dynamo`` would find on the second call stands there before the first; where this
    torch does otherwise, nothing changes.
    """
    for method in vars(Optimizer).values():
        if inspect.isfunction(method) and method.__code__.co_filename == torch._compile.__file__:
            vars(method.__wrapped__).setdefault("__dynamo_disable", method.__wrapped__)


def eager_step(optimizer: Optimizer) -> Optimizer:
    """Let one of torch's own optimizers step without asking the compiler to look away; the arithmetic is the same."""
    kind = type(optimizer)
    if kind.__module__.startswith("torch.optim.") and not optimizer.defaults.get("differentiable"):
        optimizer.step = MethodType(torch.no_grad()(inspect.unwrap(kind.step)), optimizer)
    return optimizer
