"""Parameter groups: which parameters decay, and which learn more slowly."""

from collections.abc import Iterable

from torch import nn


def param_groups(params: nn.Module | Iterable[tuple[str, nn.Parameter]], exclude_1d: bool = True) -> list[dict]:
    """Split trainable parameters into those that decay and those that do not.

    Args:
        params: a module, or its named parameters; frozen ones are left out.
        exclude_1d: keep vectors and scalars (biases, the scale and shift of a norm) from weight decay and from the
            trust ratio of LARS, as SimCLR, BYOL and Barlow Twins do; False puts all into one group (MoCo, SimSiam).

    Returns:
        One or two groups; empty ones are left out.
    """
    named = params.named_parameters() if isinstance(params, nn.Module) else params
    trainable = [p for _, p in named if p.requires_grad]
    excluded = [p for p in trainable if exclude_1d and p.ndim <= 1]
    decayed = [p for p in trainable if not (exclude_1d and p.ndim <= 1)]
    groups = [{"params": decayed}, {"params": excluded, "weight_decay": 0.0, "lars": False}]
    return [group for group in groups if group["params"]]


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
