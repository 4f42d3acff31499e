"""Progress of a measurement: tracked loops, nested or not, add up to one line."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from ssl_cli.system.terminal import Progress, clock

T = TypeVar("T")
STEPS = 1000  # of the bar
_meters: list["_Meter"] = []  # open ones; the last is shown


@contextmanager
def measuring(what: str) -> Iterator[None]:
    """Show the progress of the tracked loops inside, with the time left, if they take longer than a moment."""
    with Progress(STEPS, every=10.0, after=1.0) as progress:
        _meters.append(_Meter(what, progress))
        try:
            yield
        finally:
            _meters.pop()


def tracked(items: Iterable[T], total: int | None = None) -> Iterator[T]:
    """Yield the items; each counts as an equal part of the loop around this one, or of the whole.

    Args:
        items: of the loop.
        total: the most items there can be; None: they have a length.
    """
    if not _meters:
        yield from items
        return
    meter = _meters[-1]
    loop = [0, max(1, len(items) if total is None else total)]
    meter.loops.append(loop)
    try:
        for item in items:
            meter.show()
            yield item
            loop[0] += 1
    finally:
        meter.loops.remove(loop)


class _Meter:
    def __init__(self, what: str, progress: Progress):
        self.what, self.progress = what, progress
        self.loops: list[list[int]] = []  # done and total, the outermost first
        self.furthest = 0  # a loop that ends early must not move it back

    def show(self) -> None:
        share, part = 0.0, 1.0
        for done, total in self.loops:
            share, part = share + part * done / total, part / total
        self.furthest = max(self.furthest, int(STEPS * share))
        left = f", {clock(self.progress.left(self.furthest))} left" if self.furthest else ""
        self.progress.show(self.furthest, f"{self.what}: {self.furthest / STEPS:.0%}{left}")
