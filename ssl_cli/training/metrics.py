"""The numbers of training: collected between two rows, and written to wherever they go.

A new place for them (a tracker) is one more `Writer`.
"""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ssl_cli.distributed.collectives import mean_over_ranks
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

    def close(self) -> None:  # noqa: B027 (a file that is opened for each row has nothing to close)
        """End: no row comes after this."""


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
        if not self.file.is_file():
            return
        rows = []
        for line in self.file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                keep = json.loads(line)["step"] <= step
            except (ValueError, KeyError, TypeError):  # a row cut short when the machine stopped
                keep = False
            if keep:
                rows.append(line + "\n")
        replace(self.file, "".join(rows).encode())


class Metrics:
    """All places that rows go to, as one; with none, they go nowhere. A context that closes them at its end."""

    def __init__(self, writers: Sequence[Writer]):
        self.writers = list(writers)

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self.writers:
            writer.close()

    def write(self, row: Mapping[str, Any]) -> None:
        """Give the row to each."""
        for writer in self.writers:
            writer.write(row)

    def drop_after(self, step: int) -> None:
        """Make each forget these rows."""
        for writer in self.writers:
            writer.drop_after(step)


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
