"""torch.optim without torch's compiler, whose import takes as long as that of torch itself; nothing here uses it."""

import inspect
from types import MethodType
from typing import Any

import torch
from torch.optim import Optimizer


def eager_optimizer(kind: type[Optimizer], *args: Any, **kwargs: Any) -> Optimizer:
    """Make an optimizer that never imports ``torch._dynamo``, which its methods do to be left alone by it.

    What ``torch._compile._disable_dynamo`` would find on the second call stands there before the first, and one of
    torch's own steps without asking the compiler to look away: the arithmetic is the same. Where this torch does
    otherwise, nothing changes.
    """
    for method in vars(Optimizer).values():
        if inspect.isfunction(method) and method.__code__.co_filename == torch._compile.__file__:
            vars(method.__wrapped__).setdefault("__dynamo_disable", method.__wrapped__)
    optimizer = kind(*args, **kwargs)
    if kind.__module__.startswith("torch.optim.") and not optimizer.defaults.get("differentiable"):
        optimizer.step = MethodType(torch.no_grad()(inspect.unwrap(kind.step)), optimizer)
    return optimizer
