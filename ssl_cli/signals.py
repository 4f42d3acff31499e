"""Ctrl-C, SIGTERM, Slurm's SIGUSR1 and a time budget: the first asks the loop to save and stop, a second stops at once.

Outside the loop, where there is nothing to save, a signal ends the command by `Interrupted`.
"""

import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ssl_cli.errors import UserError

NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
TIMED_OUT = 124  # the exit status where the time budget is used up, as of timeout(1)
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Interrupted(KeyboardInterrupt):
    """A signal that ends the command; ``number`` is the signal's."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


def exit_status(error: KeyboardInterrupt) -> int:
    """Return 128 + the signal's number, as shells do: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + getattr(error, "number", signal.SIGINT)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the signals raise `Interrupted`; one that comes while that is handled has its usual effect."""

    def handle(number: int, _: FrameType | None) -> None:
        for other in NUMBERS:
            signal.signal(other, signal.default_int_handler if other == signal.SIGINT else signal.SIG_DFL)
        raise Interrupted(number)

    previous = _install(handle)
    try:
        yield
    finally:
        _restore(previous)


class StopRequest:
    """A context in which the first signal, or the end of the time budget, sets ``requested``.

    A second one has the effect that it had outside; but SIGUSR1 is only a warning, which Slurm may give to a process
    and to its parent, who hands it on: more of it changes nothing.

    Args:
        max_time: the budget, as `parse_time` reads it, counted from here; None: no budget.
    """

    def __init__(self, max_time: str | None = None) -> None:
        self.signal: int | None = None
        self.max_time = max_time
        self.ends = None if max_time is None else time.monotonic() + parse_time(max_time)
        self._previous: dict[int, object] = {}

    @property
    def timed_out(self) -> bool:
        """Whether the time budget is used up."""
        return self.ends is not None and time.monotonic() >= self.ends

    @property
    def requested(self) -> bool:
        """Whether the loop should save and stop."""
        return self.signal is not None or self.timed_out

    @property
    def status(self) -> int:
        """The exit status of a run that was stopped."""
        return TIMED_OUT if self.signal is None and self.timed_out else 128 + (self.signal or signal.SIGTERM)

    @property
    def reason(self) -> str:
        """What stopped the run."""
        if self.signal is None:
            return f"the time budget of {self.max_time}" if self.timed_out else "a signal to another rank"
        return signal.Signals(self.signal).name

    def __enter__(self) -> "StopRequest":
        self._previous = _install(self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        _restore(self._previous)

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.signal = self.signal or number
        for other in NUMBERS:
            if signal.Signals(other).name != "SIGUSR1":
                signal.signal(other, self._previous[other])


def parse_time(text: str) -> float:
    """Return the seconds that ``90s``, ``30m``, ``2h``, ``1d`` or ``1h30m`` mean.

    Raises:
        UserError: it is none of these, or no time at all.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text.replace(" ", ""))
    seconds = sum(float(number) * SECONDS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text.replace(" ", "") or seconds <= 0:
        raise UserError(f"trainer.max_time={text} is not a time; write 90s, 30m, 2h, 1d or 1h30m")
    return seconds


def _install(handler: object) -> dict[int, object]:
    """Set a handler, and return those that were set; only the main thread may, elsewhere nothing is done."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, handler) for number in NUMBERS}


def _restore(previous: dict[int, object]) -> None:
    for number, handler in previous.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
