"""Label budgets: which few images keep their label, the same for every method that is compared."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_cli.data.budget import parse_budget
from ssl_cli.errors import UserError


def draw(labels: Tensor, budget: str, seed: int, classes: Sequence[str] = ()) -> Tensor:
    """Choose the images that keep their label, stratified by class.

    One seed fixes one order of each class, and every budget takes the first images of it: ``1/class`` is contained in
    ``4/class``. A percentage keeps ``round(p n)`` of a class of ``n`` images, at least one.

    Args:
        labels: [N] int64; -1 = no label, never drawn.
        budget: ``all``, ``10%`` or ``4/class``.
        seed: of the draw.
        classes: names of the classes, for the error's text.

    Returns:
        Sorted positions into ``labels``, int64.

    Raises:
        UserError: if the budget is malformed, there are no labels to draw from, or a class is smaller than it.
    """
    kind, amount = parse_budget(budget)
    if kind == "all":
        return torch.nonzero(labels >= 0).flatten()
    present = labels[labels >= 0].unique().tolist()
    if not present:
        raise UserError(
            f"dataset.labels={budget} asks for labels and the training images have none: write dataset.labels=all"
        )
    generator = torch.Generator().manual_seed(seed)
    kept = []
    for label in present:
        members = torch.nonzero(labels == label).flatten().cpu()
        count = max(1, round(amount * len(members))) if kind == "fraction" else amount
        if count > len(members):
            name = classes[label] if classes else label
            raise UserError(
                f"dataset.labels={budget} is more than class '{name}' has: {len(members)} labelled training images"
            )
        kept.append(members[torch.randperm(len(members), generator=generator)[:count]])
    return torch.cat(kept).sort().values.to(labels.device)


def fingerprint(positions: Tensor) -> str:
    """Return 12 hex digits that tell whether two runs kept the same labels."""
    return hashlib.sha256(positions.cpu().numpy().astype("<i8").tobytes()).hexdigest()[:12]
