"""A tracker in a thread of its own: training neither waits for it nor fails with it."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from ssl_cli.system.names import plain
from ssl_cli.training.metrics import Writer
from ssl_cli.training.trackers.base import ANY, Row, TrackedRun, Tracker, numbers, scores

Task = Row | Callable[[], object] | None  # None: the end

WAITING = 100_000  # tasks; a tracker that has more before it does not keep up, and is left out
LAST_WORDS = 10.0  # seconds that an interrupted run waits for a tracker at its end
PATIENCE = 600.0  # seconds that a finished run does: files may be under way to a server
QUIET = 3.0  # seconds of them in which it does not say so


class Background(Writer):
    """Hands rows to a tracker. After its first error it gets nothing more, and people one line.

    What the tracker has already is left out. So each number has each step once, however often the run was killed: what
    the tracker lacks comes from the rows of ``metrics.jsonl``, what is computed again is not doubled.

    Args:
        name: of the tracker, for people.
        tracker: built, but not open.
        run: the run.
        rows: those of ``metrics.jsonl`` up to ``step``.
        step: the step that training goes on from.
        tell: gets the lines for people at the end.
    """

    def __init__(
        self,
        name: str,
        tracker: Tracker,
        run: TrackedRun,
        rows: Sequence[Mapping[str, Any]],
        step: int,
        tell: Callable[[str], None] = print,
    ):
        self.name, self.tracker, self.tell = name, tracker, tell
        self.trouble: str | None = None  # why the tracker gets nothing more
        self.said = False
        self.newest = 0  # step of the rows that were handed over
        self.last: dict[str, int] = {}  # the last step that the tracker has of each number and picture
        self.tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._put(lambda: self.last.update(tracker.open(run, step)))
        for row in rows:
            self.write(row)
        # A daemon: a tool that hangs does not keep the process.
        self.thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self.thread.start()

    def write(self, row: Mapping[str, Any]) -> None:
        """Hand over a row."""
        self.newest = row["step"]
        self._put(numbers(row))

    def drop_after(self, step: int) -> None:
        """Hand on that training has gone back, if it has."""
        if step < self.newest:
            self._put(partial(self.tracker.drop_after, step))

    def picture(self, step: int, name: str, png: bytes) -> None:
        """Hand over a picture."""
        self._put(lambda: self._is_new(name, step) and self.tracker.picture(step, name, png))

    def results(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Hand over the final table, and its numbers."""
        self.write({"step": step, **scores(rows)})
        self._put(lambda: self._is_new("results", step) and self.tracker.results(step, rows))

    def complaint(self) -> str | None:
        """Return, once, why the tracker gets nothing more."""
        if self.trouble is None or self.said:
            return None
        self.said = True
        return f"warning: tracker={self.name} is left out from here on ({self.trouble}); metrics.jsonl has all numbers"

    def close(self, state: str) -> None:
        """Let the tracker end this part of the run, and wait for it, but not for ever."""
        self._put(partial(self.tracker.close, state))
        self._put(None)
        patience, began = PATIENCE if state == "finished" else LAST_WORDS, time.monotonic()
        self.thread.join(min(QUIET, patience))
        if self.thread.is_alive() and patience > QUIET:
            self.tell(f"waiting for tracker={self.name} to take what is left (Ctrl-C: do not wait)")
            self.thread.join(patience - QUIET)
        if self.thread.is_alive():
            self.trouble = self.trouble or f"no answer for {time.monotonic() - began:.0f} s"
        if line := self.complaint():
            self.tell(line)

    def _put(self, task: Task) -> None:
        if self.trouble is None and self.tasks.qsize() > WAITING:
            self.trouble = f"{WAITING:,} rows wait for it"
        if self.trouble is None or task is None:
            self.tasks.put(task)

    def _work(self) -> None:
        """Do the tasks until the end or the first error; rows that wait together are one call."""
        try:
            while self.trouble is None:
                for are_rows, tasks in groupby(self._waiting(), lambda task: isinstance(task, Row)):
                    if are_rows:
                        self._write(tasks)
                        continue
                    for task in tasks:
                        if task is None:
                            return
                        task()
        except BaseException as error:  # a tool may raise anything, an exit or an interrupt, too
            self.trouble = plain(f"{type(error).__name__}: {error}", 200)

    def _waiting(self) -> list[Task]:
        """Wait for a task; return all that wait. Only this thread takes them."""
        tasks = [self.tasks.get()]
        while not self.tasks.empty():
            tasks.append(self.tasks.get())
        return tasks

    def _write(self, rows: Iterable[Row]) -> None:
        new = [row._replace(values={k: v for k, v in row.values.items() if self._is_new(k, row.step)}) for row in rows]
        if new := [row for row in new if row.values]:
            self.tracker.write(new)

    def _is_new(self, name: str, step: int) -> bool:
        """Return whether the tracker lacks a number or picture at a step; from here on it does not."""
        if step <= max(self.last.get(name, -1), self.last.get(ANY, -1)):
            return False
        self.last[name] = step
        return True
