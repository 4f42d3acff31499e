"""What a comparison is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

OVER = ("seed", "dataset.label_seed")


@dataclass(frozen=True)
class Options:
    """What `ssl compare` shows, and how it groups runs; the defaults are those of the command."""

    by: Sequence[str] = ()  # settings that make a group of runs; none: all in which they differ, but for ``over``
    over: Sequence[str] = OVER  # settings whose values are averaged over
    against: str | None = None  # name of a line (or a part of it that only one has), ``none``; None: the best baseline
    probes: Sequence[str] = ()  # names of the probes to show; none: all
    labels: Sequence[str] = ()  # label budgets to show; none: all
    metric: str | None = None  # another one than the headline, such as ``macro_f1``
    level: float = 0.95  # of the intervals, in (0, 1)
    sort: bool = False  # the best line first (by its mean place over the columns), instead of the order of the runs
