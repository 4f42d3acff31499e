"""The numbers of training: collected between two rows, and written to wherever they go.

A new place for them is one more `Writer`; a tracker is one behind `ssl_cli.training.trackers.background`.
"""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ssl_cli.distributed.collectives import mean_over_ranks
from ssl_cli.runs.directory import ReadOnlyRunDir, RunDir
from ssl_cli.system import plain_json
from ssl_cli.system.atomic import replace


class Writer(ABC):
    """A place that rows of metrics go to. Rows come in the order of their ``step``; of several ranks one writes."""

    @abstractmethod
    def write(self, row: Mapping[str, Any]) -> None:
        """Write one row: ``step``, ``epoch``, and numbers by name (None where there is none)."""

    @abstractmethod
    def drop_after(self, step: int) -> None:
        """Forget the rows after a step: a run that resumes, or rolls back, writes them again."""

    def picture(self, step: int, name: str, png: bytes) -> None:  # noqa: B027 (not every place has room for pictures)
        """Show a picture, the content of a PNG file."""

    def results(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:  # noqa: B027 (they are in summary.json)
        """Show the final table, measured after the last step; `ssl_cli.probes.base.Probe.run` documents its rows."""

    def complaint(self) -> str | None:
        """Return, once, a line for people about what went wrong, if anything did."""
        return None

    def close(self, state: str) -> None:  # noqa: B027 (a file that is opened for each row has nothing to close)
        """End: nothing comes after this. ``state`` is ``finished``, ``interrupted`` (it may go on) or ``failed``."""


class JsonLines(Writer):
    """``metrics.jsonl``: one JSON object a line."""

    def __init__(self, file: Path):
        self.file = file

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a line."""
        with self.file.open("a", encoding="utf-8") as file:
            file.write(plain_json.dumps(row) + "\n")

    def drop_after(self, step: int) -> None:
        """Replace the file by one without these rows, and without rows that cannot be read."""
        if self.file.is_file():
            replace(self.file, "".join(line + "\n" for line, _ in self._until(step)).encode())

    def rows(self, step: int) -> list[dict[str, Any]]:
        """Return the rows up to a step."""
        return [row for _, row in self._until(step)] if self.file.is_file() else []

    def _until(self, step: int) -> Iterator[tuple[str, dict[str, Any]]]:
        for line in self.file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
                keep = row["step"] <= step
            except (ValueError, KeyError, TypeError):  # a row cut short when the machine stopped
                continue
            if keep:
                yield line, row


class Metrics:
    """All places that rows go to, as one; with none, they go nowhere. A context that closes them at its end."""

    def __init__(self, writers: Sequence[Writer]):
        self.writers = list(writers)
        self.state = "failed"  # how the run ends, until somebody knows better

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self.writers:
            writer.close(self.state)

    def write(self, row: Mapping[str, Any]) -> None:
        """Give the row to each."""
        for writer in self.writers:
            writer.write(row)

    def drop_after(self, step: int) -> None:
        """Make each forget these rows."""
        for writer in self.writers:
            writer.drop_after(step)

    def picture(self, step: int, name: str, png: bytes) -> None:
        """Give the picture to each."""
        for writer in self.writers:
            writer.picture(step, name, png)

    def results(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Give the final table to each."""
        for writer in self.writers:
            writer.results(step, rows)

    def complaints(self) -> list[str]:
        """Return what went wrong since the last call."""
        return [line for writer in self.writers if (line := writer.complaint())]


class SinceLastRow:
    """What steps have reported since the last row, and since when.

    Args:
        step: the steps done.
    """

    def __init__(self, step: int):
        self.loss = self.lr = self.rate = float("nan")  # of the latest row, which the progress line shows
        self.restart(step)

    def restart(self, step: int) -> None:
        """Begin anew after a row, at ``step``."""
        self.sums: dict[str, Tensor] = {}
        self.count = 0
        self.step, self.time = step, time.perf_counter()

    def add(self, outputs: Mapping[str, Tensor]) -> None:
        """Count one step's outputs."""
        for key, value in outputs.items():
            self.sums[key] = self.sums.get(key, 0) + value
        self.count += 1

    def forget(self) -> None:
        """Forget the outputs: the steps that they are of were undone."""
        self.sums, self.count = {}, 0

    def means(self) -> dict[str, float]:
        """Return the mean of each output over these steps and over all ranks; `{}` where no step counts."""
        return mean_over_ranks({key: value / self.count for key, value in self.sums.items()}) if self.count else {}


def files(run: RunDir) -> list[JsonLines]:
    """Return what writes the metrics into the run's directory: nothing on ranks other than 0."""
    return [] if isinstance(run, ReadOnlyRunDir) else [JsonLines(run.path / "metrics.jsonl")]
