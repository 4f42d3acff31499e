"""What a person sees: progress as one live line on a terminal and as plain lines elsewhere, and short paths."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar


def clock(seconds: float) -> str:
    """Return ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Progress:
    """A context that shows how far something is.

    Args:
        total: units of work.
        done: units that were done before.
        every: seconds between two plain lines, where there is no terminal.
        after: seconds before anything is shown.
        stderr: write to standard error instead of standard output.
        log: also gets every plain line, and every warning; on a terminal, too.
    """

    def __init__(
        self,
        total: int,
        done: int = 0,
        *,
        every: float = 5.0,
        after: float = 0.0,
        stderr: bool = False,
        log: Callable[[str], None] | None = None,
    ):
        self.total, self.first, self.every, self.log = total, done, every, log
        self.output = Output(sys.stderr if stderr else sys.stdout)
        self.console = Console(file=self.output)
        self.started = self.written = time.perf_counter()
        self.starts = self.started + after
        self.bar: Bar | None = None
        self.line = ""  # the latest, while it is not written

    def __enter__(self) -> "Progress":
        if self.starts <= self.started:
            self._start("starting", self.first)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
        if self.log is not None:  # the last line stays: it is how far the work came
            self._write()

    def left(self, done: int) -> float:
        """Return the seconds left after ``done`` units, at the pace so far."""
        return (time.perf_counter() - self.started) / max(1, done - self.first) * (self.total - done)

    def show(self, done: int, line: str) -> None:
        """Show the state after ``done`` units, in words."""
        now = time.perf_counter()
        if self.bar is None and now >= self.starts:
            self._start(line, done)
        if self.bar is not None:
            self.bar.update(self.task, completed=done, description=line)
        self.line = line
        if now - self.written >= self.every:
            self.written = now
            self._write()

    def warn(self, text: str) -> None:
        """Show a line that stays."""
        if self.log is not None:
            self.log(text)
        if self.bar is not None:
            self.bar.console.print(text, markup=False)
        else:
            print(text, file=self.output, flush=True)

    def _start(self, line: str, done: int) -> None:
        if self.console.is_terminal and self.bar is None:
            columns = (BarColumn(bar_width=None), TextColumn("{task.description}", markup=False))
            self.bar = Bar(*columns, console=self.console, expand=True, transient=True)
            self.task = self.bar.add_task(line, total=self.total, completed=done)
            self.bar.start()

    def _write(self) -> None:
        if not self.line:
            return
        if self.log is not None:
            self.log(self.line)
        if self.bar is None:
            print(self.line, file=self.output, flush=True)
        self.line = ""


class Output:
    """An output that may lose its reader (``| head``, a closed terminal): then what is written goes nowhere.

    Training does not end for that; ``train.log`` has it all.
    """

    def __init__(self, stream: Any = None) -> None:
        self.stream = sys.stdout if stream is None else stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> None:
        """Write, or never again."""
        self._unless_lost(self.stream.write, text)

    def flush(self) -> None:
        """Flush, or never again."""
        self._unless_lost(self.stream.flush)

    def _unless_lost(self, call: Callable, *args: str) -> None:
        try:
            call(*args)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


def say(text: str) -> None:
    """Print a line, if anybody reads it."""
    print(text, file=Output(), flush=True)


def shown(path: Path) -> Path:
    """Return the path relative to the working directory where it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
