"""Groups of inputs (of one patient, video or site) that stay in one split."""

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor


def numbered(groups: Tensor) -> Tensor:
    """Return the groups [n] int64 as numbers 0..G-1; an input without a group (-1) gets its own."""
    alone = groups.max() + 1 + torch.arange(len(groups))
    return torch.where(groups < 0, alone, groups).unique(return_inverse=True)[1]


def hold_out(labels: Tensor, groups: Tensor, fractions: Sequence[float], seed: int) -> Tensor:
    """Choose whole groups for splits with a share of each class, as nearly as the groups allow.

    The groups come in a random order. A split takes a group if this brings its counts of the classes, and of all
    labelled inputs, nearer to the share, and train keeps an input of each class. If no group does, the split takes the
    group that fits best.

    Args:
        labels: [n] int64; -1 = no label.
        groups: [n] int64; -1 = no group.
        fractions: of the labelled inputs, one a split, each in [0, 1).
        seed: of the order.

    Returns:
        [n] int64: 0 for an input that stays, 1 for the first split, and so on; unlabelled inputs follow their group.
    """
    ids = numbered(groups)
    contents = [Counter() for _ in range(int(ids.max()) + 1)]  # class -> labelled inputs, of each group
    for group, label in zip(ids.tolist(), labels.tolist(), strict=True):
        if label >= 0:
            contents[group].update((label, None))  # None counts all of them
    sizes = Counter(label for label in labels.tolist() if label >= 0)
    sizes[None] = sizes.total()
    left, place = sizes.copy(), [0] * len(contents)
    generator = torch.Generator().manual_seed(seed)
    order = [group for group in torch.randperm(len(contents), generator=generator).tolist() if contents[group]]
    for number, fraction in enumerate(fractions, 1):
        have: Counter = Counter()

        def nearer(group: int, have: Counter = have, fraction: float = fraction) -> float:
            """Return by how much the split comes nearer to its share."""
            short = {y: fraction * sizes[y] - have[y] for y in contents[group]}
            gains = {y: (short[y] ** 2 - (short[y] - count) ** 2) / sizes[y] for y, count in contents[group].items()}
            return sum(gains.values()) + (len(sizes) - 2) * gains[None]  # the total matters as all classes together

        def take(group: int, have: Counter = have, number: int = number) -> None:
            place[group] = number
            have.update(contents[group])
            left.subtract(contents[group])

        for group in order:
            if _spare(group, contents, left, place) and nearer(group) > 0:
                take(group)
        rest = [group for group in order if _spare(group, contents, left, place)]
        if rest and not have and fraction * sizes[None] >= 0.5:
            take(max(rest, key=nearer))
    return torch.tensor(place)[ids]


def _spare(group: int, contents: Sequence[Counter], left: Counter, place: Sequence[int]) -> bool:
    """Return whether a group is in no split yet, and not the last group of a class."""
    return place[group] == 0 and all(left[label] > count for label, count in contents[group].items())
