"""Which part of a backbone is trained, where it starts from weights that are worth keeping.

LoRA is of Hu et al. 2021 (arXiv:2106.09685), by the library peft.
"""

import importlib.util
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ssl_cli.backbones.base import Backbone
from ssl_cli.errors import UserError, did_you_mean

KEYS = ("adapt", "lora")  # settings of the ``backbone`` group that are not its constructor's
WORDS = ("full", "last:N", "norms", "lora")
NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)


def parse(how: str) -> tuple[str, int]:
    """Return the word of ``backbone.adapt`` and the number of blocks of ``last:N`` (else 0).

    Raises:
        UserError: it is none of `WORDS`.
    """
    word, _, number = str(how).partition(":")
    if word == "last" and number.isdigit() and int(number) > 0:
        return word, int(number)
    if how in ("full", "norms", "lora"):
        return how, 0
    near = did_you_mean(str(how), WORDS)
    raise UserError(f"backbone.adapt={how} is not one of {', '.join(WORDS)} (N from 1: the last N blocks){near}")


def adapt(backbone: Backbone, how: str = "full", lora: Mapping[str, Any] | None = None) -> None:
    """Choose in place which parameters of a backbone are trained; the others get no gradient.

    Where parameters of a BatchNorm are kept, its statistics are kept, too (`keep_statistics`).

    Args:
        backbone: with the weights that it starts from.
        how: ``full``: all; ``last:N``: those of its last N blocks; ``norms``: scale and shift of its norms alone;
            ``lora``: low-rank matrices beside its layers, which begin without effect.
        lora: ``rank`` >= 1, ``alpha`` > 0 (the change counts alpha / rank) and ``layers``, parts of names; None: all
            linear layers and convolutions without groups.

    Raises:
        UserError: there are no such blocks, norms or layers, or peft is not installed.
    """
    word, number = parse(how)
    if word == "full":
        return
    before = {id(p) for p in backbone.parameters() if p.requires_grad}
    if word == "last":
        blocks = backbone.blocks()
        if number > len(blocks):
            raise UserError(f"backbone.adapt={how}: this backbone has {len(blocks)} blocks; write last:{len(blocks)}")
        trained = [p for block in blocks[-number:] for p in block.parameters()]
    elif word == "norms":
        trained = [p for part in backbone.modules() if isinstance(part, NORMS) for p in part.parameters(recurse=False)]
        if not trained:
            raise UserError("backbone.adapt=norms: this backbone has no norms; write backbone.adapt=last:1")
    else:
        trained = _with_lora(backbone, **(lora or {}))
        before |= {id(p) for p in trained}
    kept = {id(p) for p in trained} & before
    for p in backbone.parameters():
        p.requires_grad_(id(p) in kept)
    backbone.still = tuple(
        name
        for name, part in backbone.named_modules()
        if isinstance(part, _BatchNorm) and not any(p.requires_grad for p in part.parameters())
    )


def keep_statistics(module: nn.Module) -> None:
    """Put the norms that `adapt` keeps into evaluation mode, in all backbones of a module, a teacher's too."""
    for backbone in module.modules():
        if isinstance(backbone, Backbone):
            for name in backbone.still:
                backbone.get_submodule(name).eval()


def merge(module: nn.Module) -> None:
    """Add what LoRA has learned to the weights beside it, in place: afterwards a module is as without LoRA.

    Its features are the same up to rounding, and so are the names in its state dict as those of a plain one.
    """
    if importlib.util.find_spec("peft") is None or not any(hasattr(part, "lora_A") for part in module.modules()):
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BaseTunerLayer):
                base = child.get_base_layer()
                striped = base.weight.ndim == 4 and base.weight.is_contiguous(memory_format=torch.channels_last)
                child.to(memory_format=torch.contiguous_format).merge()  # the same sums, whichever the layout
                parent._modules[name] = base.to(memory_format=torch.channels_last) if striped else base


def _with_lora(backbone: Backbone, rank: int = 8, alpha: float = 16.0, layers: list[str] | None = None) -> list:
    """Put low-rank matrices beside layers, in place; return them."""
    if importlib.util.find_spec("peft") is None:
        raise UserError("backbone.adapt=lora needs peft: pip install 'ssl-cli[peft]'")
    if not (isinstance(rank, int) and rank >= 1 and alpha > 0):
        raise UserError(f"backbone.lora.rank={rank}, alpha={alpha}: write a rank of 1 or more and an alpha above 0")
    fit = [
        name
        for name, part in backbone.named_modules()
        if isinstance(part, nn.Linear) or (isinstance(part, nn.Conv2d) and part.groups == 1)
    ]
    chosen = [name for name in fit if layers is None or any(word in name for word in layers)]
    if not chosen:
        some = ", ".join(fit[:6]) + (", ..." if len(fit) > 6 else "")
        raise UserError(f"backbone.lora.layers={layers}: no layer has such a name; those that fit are {some or 'none'}")
    from peft import LoraConfig, inject_adapter_in_model

    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, target_modules=chosen), backbone)
    return [p for name, p in backbone.named_parameters() if "lora_" in name]
