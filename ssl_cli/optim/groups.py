"""Parameter groups: which parameters decay, which learn more slowly, and what a schedule changes of them."""

import math
from collections.abc import Iterable

from torch import nn
from torch.optim import Optimizer


def param_groups(
    params: nn.Module | Iterable[tuple[str, nn.Parameter]], constant_lr: Iterable[nn.Module] = ()
) -> list[dict]:
    """Split trainable parameters by what an optimizer may do to them.

    Vectors and scalars (biases, the scale and shift of a norm) are kept from weight decay and from the trust ratio of
    LARS, as SimCLR, BYOL and Barlow Twins do; ``optimizer.decay_1d`` and ``optimizer.adapt_1d`` change that.

    Args:
        params: a module, or its named parameters; frozen ones are left out.
        constant_lr: parts of it whose learning rate no schedule changes.

    Returns:
        Up to four groups; empty ones are left out. Those of vectors have ``vectors=True``, those of constant rate
        ``constant_lr=True``.
    """
    named = params.named_parameters() if isinstance(params, nn.Module) else params
    trainable = [p for _, p in named if p.requires_grad]
    constant = {id(p) for part in constant_lr for p in part.parameters()}
    groups = []
    for is_constant in (False, True):
        rate = {"constant_lr": True} if is_constant else {}
        chosen = [p for p in trainable if (id(p) in constant) == is_constant]
        vectors = [p for p in chosen if p.ndim <= 1]
        groups += [
            {"params": [p for p in chosen if p.ndim > 1], **rate},
            {"params": vectors, "vectors": True, "weight_decay": 0.0, "lars": False, **rate},
        ]
    return [group for group in groups if group["params"]]


def follow_schedule(optimizer: Optimizer, factor: float, progress: float) -> None:
    """Give every group what it has at this step.

    Args:
        optimizer: made by `ssl_cli.optim.optimizers`.
        factor: on the learning rate, of all groups but those of constant rate.
        progress: share of the training that is done, in [0, 1]; weight decay that ends elsewhere than it began follows
            half a cosine over it, as in DINO.
    """
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * (1.0 if group.get("constant_lr") else factor)
        if (end := group.get("weight_decay_end")) is not None:
            start = group["initial_weight_decay"]
            group["weight_decay"] = end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))


def scheduled_lr(optimizer: Optimizer) -> float:
    """Return the largest learning rate among the groups that follow the schedule."""
    groups = [group for group in optimizer.param_groups if not group.get("constant_lr")]
    return max(group["lr"] for group in groups or optimizer.param_groups)


def layer_decayed(groups: list[dict], blocks: list[nn.Module], decay: float) -> list[dict]:
    """Scale the learning rate by block: block i of n gets ``decay ** (n - i)`` of it, everything else all of it.

    Clark et al. 2020 (ELECTRA), arXiv:2003.10555; used to fine-tune by BEiT and MAE.

    Args:
        groups: of parameters, see `param_groups`; each is cut by block.
        blocks: of the backbone, from input to output.
        decay: in (0, 1]; 1 leaves the groups as they are.
    """
    if decay == 1:
        return groups
    depth = {id(p): i for i, block in enumerate(blocks) for p in block.parameters()}
    cut: list[dict] = []
    for group in groups:
        by_depth: dict[int, list] = {}
        for p in group["params"]:
            by_depth.setdefault(depth.get(id(p), len(blocks)), []).append(p)
        cut += [
            {**group, "params": params, "lr_scale": decay ** (len(blocks) - i)}
            for i, params in sorted(by_depth.items())
        ]
    return cut
