"""Ctrl-C, SIGTERM, Slurm's SIGUSR1, a terminal that hangs up, and a time budget: the loop saves and stops.

A second signal stops at once. Outside the loop, where there is nothing to save, the first one ends the command by
`Interrupted`. What the process was started to ignore (by nohup, say) stays ignored.
"""

import os
import re
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ssl_cli.errors import UserError

NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
NUMBERS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
TIMED_OUT = 124  # the exit status where the time budget is used up, as of timeout(1)
SAME = 1.0  # seconds within which a second signal is taken for the first
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Interrupted(KeyboardInterrupt):
    """A signal that ends the command; ``status`` is the exit status that it has, 128 + its number as in shells."""

    def __init__(self, number: int):
        super().__init__(_name(number))
        self.status = 128 + number


class TimeUp(Interrupted):
    """The end of the time budget, where nothing asks for it."""

    def __init__(self, budget: str | None):
        KeyboardInterrupt.__init__(self, f"the time budget of {budget}")
        self.status = TIMED_OUT


def exit_status(error: KeyboardInterrupt) -> int:
    """Return the exit status of a command that is interrupted: 130 for Ctrl-C, 143 for SIGTERM, 124 for a budget."""
    return getattr(error, "status", 128 + signal.SIGINT)


@contextmanager
def handling(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Call ``handler`` at each of the signals."""
    previous = _install(handler)
    try:
        yield
    finally:
        _restore(previous)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` at each of the signals; a second signal meanwhile has its usual effect."""

    def handle(number: int, _: FrameType | None) -> None:
        for other in previous:
            signal.signal(other, signal.default_int_handler if other == signal.SIGINT else signal.SIG_DFL)
        _let_go_of_terminal(number)
        raise Interrupted(number)

    previous = _install(handle)
    try:
        yield
    finally:
        _restore(previous)


class StopRequest:
    """A context in which the first signal, or the end of the time budget, sets ``requested``.

    A second one has the effect that it had outside. Slurm may give a signal to a process and to its parent, who hands
    it on: two within a second are one, except for Ctrl-C. More of SIGUSR1, a warning, changes nothing.

    Args:
        max_time: the budget, as `parse_time` reads it, counted from here; None: no budget.
    """

    def __init__(self, max_time: str | None = None) -> None:
        self.signal: int | None = None
        self.since = 0.0
        self.max_time = max_time
        self.ends = None if max_time is None else time.monotonic() + parse_time(max_time)
        self._previous: dict[int, Any] = {}

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
        return _name(self.signal)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Where nobody asks, as in the closing measurement, let the end of the time budget raise `TimeUp`."""
        if self.ends is None or not hasattr(signal, "setitimer") or not _in_main_thread():
            yield
            return

        def handle(*_: object) -> None:
            raise TimeUp(self.max_time)

        previous = signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, max(self.ends - time.monotonic(), 1e-3))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)

    def __enter__(self) -> "StopRequest":
        self._previous = _install(self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        _restore(self._previous)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.signal is None:
            self.signal, self.since = number, time.monotonic()
            _let_go_of_terminal(number)
        elif number == signal.SIGINT or time.monotonic() - self.since > SAME and _name(number) != "SIGUSR1":
            self.__exit__()
            os.kill(os.getpid(), number)


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


def _install(handler: Callable[[int, Any], None]) -> dict[int, Any]:
    """Set a handler, and return those that were set; only the main thread may, elsewhere nothing is done."""
    if not _in_main_thread():
        return {}
    wanted = [number for number in NUMBERS if signal.getsignal(number) != signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in wanted}


def _restore(previous: dict[int, Any]) -> None:
    for number, handler in previous.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _name(number: int) -> str:
    return signal.Signals(number).name


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _let_go_of_terminal(number: int) -> None:
    """Send the output for a closed terminal nowhere: each write to it would be an error."""
    if _name(number) != "SIGHUP":
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        if stat.S_ISCHR(os.fstat(stream).st_mode):
            os.dup2(nowhere, stream)
