"""From a trained model and its inputs to the order in which unlabelled ones are worth a label."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ssl_cli.errors import UserError
from ssl_cli.pick.coverage import coverage
from ssl_cli.pick.geometry import unit
from ssl_cli.pick.typical import typical
from ssl_cli.probes.progress import measuring

CLASSES = 10  # where nobody knows how many there are


@dataclass
class Pool:
    """Train inputs; those of val and test are in none of its parts."""

    free: Tensor  # [n] positions of those without a label that may be used, in random order
    known: Tensor  # [m] positions of those with one

    @classmethod
    def of(cls, train: Tensor, known: Tensor, seed: int, most: int) -> "Pool":
        """Return the pool of a train split.

        Args:
            train: positions.
            known: positions of those whose label may be used.
            seed: of the order, which is all that can tell equal inputs apart.
            most: inputs without a label that are considered, the first of this order.
        """
        free = train[~torch.isin(train, known)].sort().values
        order = torch.randperm(len(free), generator=torch.Generator().manual_seed(seed))
        return cls(free[order[:most]], known)

    def check(self, count: int, noun: str = "image") -> None:
        """Raise ``UserError`` where there are not so many inputs to pick."""
        left = len(self.free)
        if count > left:
            has = f"only {left:,} train {noun}s have no" if left else f"no train {noun} is without a"
            instead = f"write n={left} or less" if left else "a run that may use fewer has some: dataset.labels=4/class"
            raise UserError(f"n={count}: {has} label that the run may use; {instead}")


def pick(
    strategy: str,
    pool: Pool,
    count: int,
    seed: int,
    classes: int,
    features: Callable[[Tensor], Tensor],
    margins: Callable[[Tensor], Tensor],
) -> Tensor:
    """Return positions [count] of inputs to label, the most wanted first; fewer are the first of more.

    Args:
        strategy: ``typical``, ``coverage``, ``uncertain`` or ``random``.
        pool: what they are picked from.
        count: of inputs.
        seed: of k-means.
        classes: how many there are; 0: not known.
        features: positions [n] -> features [n, d].
        margins: positions [n] -> by how much [n] the likeliest class is more probable than the second.

    Raises:
        UserError: there are not so many inputs without a label.
    """
    pool.check(count)
    if strategy == "random":
        return pool.free[:count]
    if strategy == "uncertain":
        return pool.free[margins(pool.free).argsort(stable=True)[:count]]
    x, known = unit(features(pool.free)), unit(features(pool.known))
    by = {"typical": typical, "coverage": coverage}[strategy]
    with measuring("choosing"):
        return pool.free[by(x, known, count, classes or CLASSES, seed)]
