"""Label budgets: the few inputs that keep their label, the same for every compared method."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_cli.data.budget import OF_GROUPS, parse_budget
from ssl_cli.data.groups import numbered
from ssl_cli.errors import UserError


def draw(
    labels: Tensor,
    budget: str,
    seed: int,
    classes: Sequence[str] = (),
    groups: Tensor | None = None,
    noun: str = "image",
) -> Tensor:
    """Choose the inputs that keep their label, stratified by class.

    One seed fixes one order of each class, and every budget takes the first inputs of it: ``4/class`` contains
    ``1/class``. A percentage keeps ``round(p n)`` of a class of ``n`` inputs, at least one.

    A budget of groups goes through all groups in one order. For each class it takes the first groups with an input of
    the class, and keeps all labels of these groups. If each group has all classes, ``10%groups`` is a tenth of the
    groups; if classes are in different groups it may be more.

    Args:
        labels: [N] int64; -1 = no label, never drawn.
        budget: ``all``, ``10%``, ``4/class``, ``10%groups`` or ``4groups/class``.
        seed: of the draw.
        classes: names of the classes, for the error's text.
        groups: [N] int64; an input without a group (-1) counts as a group of its own; None: there are none.
        noun: name of an input in the error's text.

    Returns:
        Sorted positions into ``labels``, int64.

    Raises:
        UserError: the budget is malformed, there are no labels to draw from, a class is smaller than the budget, or the
            budget is of groups and there are none.
    """
    kind, amount = parse_budget(budget)
    if kind == "all":
        return torch.nonzero(labels >= 0).flatten()
    present = labels[labels >= 0].unique().tolist()
    if not present:
        raise UserError(
            f"dataset.labels={budget} asks for labels and the training {noun}s have none: write dataset.labels=all"
        )
    generator = torch.Generator().manual_seed(seed)
    ids = order = None
    if kind in OF_GROUPS:
        if groups is None:
            raise UserError(
                f"dataset.labels={budget} counts groups, and these {noun}s have none; write dataset.group_column=NAME "
                f"beside dataset.labels_file, or a budget of {noun}s: 10% or 4/class"
            )
        ids = numbered(groups.cpu())
        order = torch.randperm(int(ids.max()) + 1, generator=generator)
    kept = []
    for label in present:
        members = torch.nonzero(labels == label).flatten().cpu()
        if ids is None:
            queue, what = members[torch.randperm(len(members), generator=generator)], f"labelled training {noun}s"
        else:
            queue, what = order[torch.isin(order, ids[members])], "groups"
        count = max(1, round(amount * len(queue))) if "fraction" in kind else amount
        if count > len(queue):
            name = classes[label] if classes else label
            raise UserError(f"dataset.labels={budget} is more than class '{name}' has: {len(queue)} {what}")
        kept.append(queue[:count])
    chosen = torch.cat(kept)
    if ids is not None:
        chosen = torch.nonzero(torch.isin(ids, chosen) & (labels.cpu() >= 0)).flatten()
    return chosen.sort().values.to(labels.device)


def fingerprint(positions: Tensor) -> str:
    """Return 12 hex digits that are equal for two runs with the same labels."""
    return hashlib.sha256(positions.cpu().numpy().astype("<i8").tobytes()).hexdigest()[:12]
