"""How far a run is: one live line on a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

PLAIN_EVERY = 5.0  # seconds between two plain lines


def clock(seconds: float) -> str:
    """Return ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Progress:
    """Shows epoch, loss, learning rate, images per second, time left and the latest kNN accuracy on val.

    Args:
        total_steps: optimizer steps of the whole run.
        steps_per_epoch: steps of an epoch.
        first_step: steps that were done before (a resumed run).
        log: also gets every plain line.
    """

    def __init__(self, total_steps: int, steps_per_epoch: int, first_step: int, log: Callable[[str], None]):
        self.total_steps, self.steps_per_epoch, self.first_step = total_steps, steps_per_epoch, first_step
        self.log, self.console = log, Console(file=Output())
        self.started = self.shown = time.perf_counter()
        self.bar: Bar | None = None
        self.line = ""  # the latest, while it is not written

    def __enter__(self) -> "Progress":
        if self.console.is_terminal:
            columns = (BarColumn(bar_width=None), TextColumn("{task.description}"))
            self.bar = Bar(*columns, console=self.console, expand=True, transient=True)
            self.task = self.bar.add_task("starting", total=self.total_steps, completed=self.first_step)
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
        self._write()

    def update(self, step: int, loss: float, lr: float, images_per_second: float, val_knn: float) -> None:
        """Show the state after ``step`` steps; ``val_knn`` is an accuracy in [0, 1], negative where there is none."""
        now = time.perf_counter()
        left = (now - self.started) / max(1, step - self.first_step) * (self.total_steps - step)
        epochs = self.total_steps / self.steps_per_epoch
        line = (
            f"epoch {step / self.steps_per_epoch:.4g}/{epochs:g}  loss {loss:.3f}  lr {lr:.2e}  "
            f"{images_per_second:,.0f} img/s  {clock(left)} left"
        )
        line += f"  val kNN {100 * val_knn:.1f}" if val_knn >= 0 else ""
        if self.bar is not None:
            self.bar.update(self.task, completed=step, description=line)
        self.line = line
        if now - self.shown >= PLAIN_EVERY:
            self.shown = now
            self._write()

    def warn(self, text: str) -> None:
        """Show a line that stays."""
        self.log(text)
        if self.bar is not None:
            self.bar.console.print(text, markup=False)
        else:
            say(text)

    def _write(self) -> None:
        if self.line:
            self.log(self.line)
            if self.bar is None:
                say(self.line)
            self.line = ""


class Output:
    """Standard output, which may lose its reader (``| head``, a closed terminal): then what is written goes nowhere.

    Training does not end for that; ``train.log`` has it all.
    """

    def __init__(self) -> None:
        self.stream = sys.stdout

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
