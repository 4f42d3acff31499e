"""Progress of one long step, on stderr: a bar on a terminal, a line every ten seconds elsewhere."""

import sys
import time
from types import TracebackType

FIRST = 1.0  # seconds: what is done sooner shows nothing
EVERY = 10.0  # seconds between lines where there is no terminal


class Progress:
    """Context manager; call ``advance`` as the work goes on."""

    def __init__(self, text: str, total: int):
        self.text, self.total, self.done = text, total, 0
        self._next = time.monotonic() + (FIRST if sys.stderr.isatty() else EVERY)
        self._bar = None

    def __enter__(self) -> "Progress":
        return self

    def advance(self, count: int) -> None:
        """Tell that ``count`` more of ``total`` are done."""
        self.done += count
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done)
        elif time.monotonic() >= self._next:
            self._show()

    def _show(self) -> None:
        if not sys.stderr.isatty():
            self._next += EVERY
            print(f"{self.text}: {self.done:,} of {self.total:,}", file=sys.stderr, flush=True)
            return
        from rich.console import Console
        from rich.progress import Progress as Bar

        self._bar = Bar(console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(self.text, total=self.total, completed=self.done)
        self._bar.start()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
