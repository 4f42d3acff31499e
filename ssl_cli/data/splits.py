"""Train, val and test: carved from the training inputs, by a seed, if the source does not define them."""

import torch
from torch import Tensor

from ssl_cli.data.groups import hold_out
from ssl_cli.errors import UserError


def complete(
    labels: Tensor,
    splits: dict[str, Tensor],
    val_fraction: float,
    test_fraction: float,
    seed: int,
    groups: Tensor | None = None,
) -> dict[str, Tensor]:
    """Add missing splits, stratified by class.

    ``test_fraction`` and ``val_fraction`` are shares of the labelled inputs in the initial ``train``. Every class
    keeps an input in ``train``. Unlabelled inputs (-1) stay in ``train``; without any label nothing is carved.

    Args:
        labels: [N] int64.
        splits: positions; has ``train``, may have ``test`` and ``val``.
        val_fraction: in [0, 1).
        test_fraction: in [0, 1).
        seed: of the choice.
        groups: [N] int64; a group is carved as a whole (see `groups.hold_out`), and its unlabelled inputs are then in
            no split; -1 = no group; None: there are no groups.

    Returns:
        ``train``, ``val`` and ``test``: disjoint, sorted positions, int64.

    Raises:
        UserError: the fractions leave nothing to train on, or train needs all groups.
    """
    missing = {"test": test_fraction, "val": val_fraction}
    missing = {name: fraction for name, fraction in missing.items() if name not in splits}
    if sum(missing.values()) >= 1:
        shown = " + ".join(f"dataset.{name}_fraction={fraction}" for name, fraction in missing.items())
        raise UserError(f"{shown} leaves nothing to train on: together they must be below 1")

    train = splits["train"].sort().values
    train_labels = labels[train]
    if groups is not None:
        return {**splits, **_by_group(train, train_labels, groups[train], missing, seed)}
    generator = torch.Generator().manual_seed(seed)
    queues = []  # per class: positions in random order; each split takes from the front
    for label in train_labels[train_labels >= 0].unique().tolist():
        members = train[train_labels == label]
        queues.append(members[torch.randperm(len(members), generator=generator)])
    sizes = [len(queue) for queue in queues]

    result = dict(splits)
    for name, fraction in missing.items():
        counts = _apportion(sizes, fraction, room=[len(queue) - 1 for queue in queues])
        taken = [queue[:count] for queue, count in zip(queues, counts, strict=True)]
        queues = [queue[count:] for queue, count in zip(queues, counts, strict=True)]
        result[name] = torch.cat([train.new_empty(0), *taken])
    result["train"] = torch.cat([train[train_labels < 0], *queues])
    return {name: result[name].sort().values for name in ("train", "val", "test")}


def _by_group(train: Tensor, labels: Tensor, groups: Tensor, missing: dict[str, float], seed: int) -> dict[str, Tensor]:
    """Return ``train`` and the missing splits, carved from it by whole groups."""
    place = hold_out(labels, groups, list(missing.values()), seed)
    found = {name: train[(place == number) & (labels >= 0)] for number, name in enumerate(missing, 1)}
    if missing.get("test") and (labels >= 0).any() and not len(found["test"]):
        raise UserError(
            "no group can be held out as test: each is the last one in train of some class; write "
            "dataset.group_column=none if those of one group may lie in two splits, or dataset.test_fraction=0"
        )
    return {"train": train[place == 0], **found}


def _apportion(sizes: list[int], fraction: float, room: list[int]) -> list[int]:
    """Distribute ``round(fraction * sum(sizes))`` over the classes, by largest remainder and at most ``room`` each.

    Rounding class by class would carve nothing from many classes of four inputs.
    """
    exact = [fraction * size for size in sizes]
    counts = [min(int(share), limit) for share, limit in zip(exact, room, strict=True)]
    short = round(sum(exact)) - sum(counts)
    by_remainder = sorted(range(len(sizes)), key=lambda i: counts[i] - exact[i])
    for i in [i for i in by_remainder if counts[i] < room[i]][: max(short, 0)]:
        counts[i] += 1
    return counts
