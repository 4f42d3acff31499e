"""Which rows of a batch belong together, and their distances: for distance-based methods."""

import torch
from torch import Tensor

from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError
from ssl_cli.methods.shared.choices import one_of
from ssl_cli.methods.shared.heads import unit


def check_pairs(pairs: str, data: DataInfo) -> None:
    """Raise `UserError` unless ``pairs`` is ``views``, or ``labels`` and the data has them."""
    if one_of("pairs", pairs, ("views", "labels")) == "labels":
        require_labels("method.pairs=labels", data, "write method.pairs=views, which needs none")


def require_labels(what: str, data: DataInfo, instead: str) -> None:
    """Raise `UserError` unless inputs of at least two classes are labelled: one class has no negatives."""
    if len(data.classes) < 2 or data.labelled == 0:
        raise UserError(
            f"{what} needs labels of at least two classes; {data.name} has {data.labelled} labelled {data.noun}s of "
            f"{len(data.classes)}: {data.how_to_label}, or {instead}"
        )


def groups(task: Task, pairs: str) -> Tensor:
    """Return a number [B] for each input: inputs of the same number are alike.

    With ``views`` the number names the input itself, so an input drawn twice is not its own negative. With ``labels``
    it names the class, and an input without a label (-1) is alike to itself only.
    """
    alone = -1 - task.indices
    return alone if pairs == "views" else torch.where(task.labels >= 0, task.labels, alone)


def masks(group: Tensor) -> tuple[Tensor, Tensor]:
    """Return the positive pairs [R, R] of rows (same number, another row) and the negative ones, for [R] numbers."""
    same = group[:, None] == group[None, :]
    return same & ~torch.eye(len(group), dtype=torch.bool, device=group.device), ~same


def squared_distances(z: Tensor) -> Tensor:
    """Return the squared Euclidean distances [R, R], in [0, 4], of rows [R, d] scaled to unit length.

    In float32 at least. One matrix product gives them, exact to rounding of the squares: rows closer than about 3e-4 in
    float32 count as equal.
    """
    z = unit(z)
    with torch.autocast(z.device.type, enabled=False):  # small distances are differences of large numbers
        products = z @ z.T
    squares = products.diagonal()
    return (squares[:, None] + squares[None, :] - 2 * products).clamp_min(0)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of ``x`` where ``mask`` holds; 0, with zero gradient, if it holds nowhere."""
    return torch.where(mask, x, 0).sum() / mask.sum().clamp_min(1)
