"""The backbones and the colour changes of a training step compiled by torch, where that pays."""

import contextlib

import torch
from torch import nn

from ssl_cli.augment.augment import Augment
from ssl_cli.augment.fused import fused, recolour
from ssl_cli.backbones.base import Backbone
from ssl_cli.errors import UserError
from ssl_cli.pretext.base import Pretext

PAYS = 2_000  # steps: to compile takes half a minute or more, which a shorter run does not earn back


def worth_it(choice: str | bool, device: torch.device, steps: int) -> bool:
    """Return whether ``trainer.compile`` asks for it; ``auto`` does on a GPU, for ``steps`` of `PAYS` or more."""
    return device.type == "cuda" and steps >= PAYS if choice == "auto" else bool(choice)


def trouble(device: torch.device) -> str:
    """Return why torch cannot compile for this device (no C compiler, no Triton), in a line; "" where it can."""
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.zeros(8, device=device))
    except Exception as error:  # torch raises of many kinds; that it cannot is what matters
        text = str(error).strip() or type(error).__name__
        return text.splitlines()[0]
    return ""


class Compiled:
    """A context in which the parts of a step run compiled.

    Outside, all are as they were: evaluations have other sizes and no gradient, and would compile anew. A state dict
    never changes.

    Args:
        method: every `Backbone` in it is compiled, an averaged teacher's too.
        pretext: its recipes are, as far as `ssl_cli.augment.fused` goes; on a CPU they are quicker as they are.
        device: of both.
    """

    def __init__(self, method: nn.Module, pretext: Pretext, device: torch.device):
        parts = [part for part in method.modules() if isinstance(part, Backbone) and part.one_shape]
        self.networks = [(part, torch.compile(part.forward, dynamic=False)) for part in parts]
        self.recipes = [part for part in vars(pretext).values() if isinstance(part, Augment) and device.type != "cpu"]
        self.colours = fused(torch.compile(recolour, dynamic=False))

    def __enter__(self) -> None:
        for part, forward in self.networks:
            part.forward = forward
        for recipe in self.recipes:
            recipe.fused = self.colours

    def __exit__(self, *_: object) -> None:
        for part, _ in self.networks:
            del part.forward
        for recipe in self.recipes:
            recipe.fused = None


def compiled(
    method: nn.Module, pretext: Pretext, choice: str | bool, device: torch.device, steps: int
) -> tuple[contextlib.AbstractContextManager, str]:
    """Return the context in which a step runs, and a line for the user ("" where all is as usual).

    Args:
        method: the method.
        pretext: its pretext.
        choice: ``trainer.compile``.
        device: of the method.
        steps: of the whole training, so that a run that goes on does as it did before.

    Raises:
        UserError: it was asked for, and torch cannot do it here.
    """
    if not worth_it(choice, device, steps):
        return contextlib.nullcontext(), ""
    if why := trouble(device):
        if choice == "auto":
            return contextlib.nullcontext(), f"not compiled, since torch cannot here: {why}"
        raise UserError(f"trainer.compile=true: torch cannot compile here ({why}); write trainer.compile=false")
    return Compiled(method, pretext, device), "compiling: the first steps take longer"
