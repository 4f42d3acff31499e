"""The base of trackers. Imports no torch, and nothing of the tools."""

import importlib.util
import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ssl_cli.errors import UserError

OWN_FOLDERS = ("tensorboard", "mlruns", "wandb")  # where the trackers' files are in a run, if nothing else is set
NOT_KEPT = (*OWN_FOLDERS, "features", "lock", "lock.json")  # of a run's directory: what no tracker gets a copy of

ANY = "*"  # in the place of a name: of all numbers and pictures


class Row(NamedTuple):
    """The numbers of a step."""

    step: int
    time: float  # when it was handed over, in seconds since 1970
    values: dict[str, float]  # by name


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker knows of a run."""

    path: Path  # its directory
    id: str  # of the run, the same each time that it goes on
    name: str  # for people
    group: str | None  # the directory of the sweep that it is a job of
    config: dict[str, Any]  # plain values


class Tracker(ABC):
    """A tool that shows runs.

    The constructor takes the settings and checks them; it imports nothing heavy. All other calls come from one thread
    that training does not wait for, see `ssl_cli.training.trackers.background`. Any of them may raise: the run then
    goes on without the tracker.
    """

    @abstractmethod
    def open(self, run: TrackedRun, step: int) -> Mapping[str, int]:
        """Begin the run, or go on with it: a run of the same id is the same run.

        Args:
            run: the run.
            step: the step that training goes on from. What the tool has of later steps is forgotten if it can be.

        Returns:
            The last step that the tool has of each number and picture, by name or as `ANY`: what it has already does
            not come again.
        """

    @abstractmethod
    def write(self, rows: Sequence[Row]) -> None:
        """Write rows; their steps only rise."""

    def drop_after(self, step: int) -> None:  # noqa: B027 (most tools cannot)
        """Forget what is there of later steps, if the tool can: training has gone back to a checkpoint."""

    def picture(self, step: int, name: str, png: bytes) -> None:  # noqa: B027 (a tool may show none)
        """Show a picture, the content of a PNG file."""

    def results(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:  # noqa: B027
        """Show the final table; its numbers come by `write`, too.

        Args:
            step: the last one of training.
            rows: as `ssl_cli.probes.base.Probe.run` documents them.
        """

    @abstractmethod
    def close(self, state: str) -> None:
        """End this part of the run; of a finished one keep its directory, if the tool keeps files.

        Args:
            state: ``finished``, ``interrupted`` (it may go on) or ``failed``.
        """


def require(package: str, extra: str) -> None:
    """Raise ``UserError`` if a package is missing, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:  # without origin it is a folder of that name, as W&B makes them
        raise UserError(f"tracker={extra} needs {package}, which is not installed: pip install 'ssl-cli[{extra}]'")


def numbers(row: Mapping[str, Any]) -> Row:
    """Return a row of metrics as a step and its finite numbers; of true and false, 1 and 0."""
    found = {name: value for name, value in row.items() if isinstance(value, (bool, int, float)) and name != "step"}
    values = {plain(name): float(value) for name, value in found.items() if math.isfinite(value)}
    return Row(row["step"], time.time(), values)


def plain(name: str) -> str:
    """Return a name that every tool takes."""
    return re.sub(r"[^\w./ -]", "_", name.replace("%", "pct"))


def scores(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the numbers of the final table: ``test/MODEL/PROBE/LABELS[/TARGET]/METRIC``."""
    from ssl_cli.probes.scores.protocol import key

    return {f"test/{key(row)}/{name}": score["mean"] for row in rows for name, score in row["metrics"].items()}


def table(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return the heads and lines of the final table: one line a row, with its headline as it is in summary.json."""
    heads = ["model", "probe", "labels", "target", "metric", "mean", "std", "n"]
    return heads, [[row.get(head) for head in heads] for row in rows]


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the final table as Markdown."""
    heads, lines = table(rows)
    cells = [heads, ["---"] * len(heads), *lines]
    return "".join(f"| {' | '.join('' if cell is None else str(cell) for cell in line)} |\n" for line in cells)


def kept_files(run: Path) -> Iterator[tuple[Path, str]]:
    """Yield what a tracker that keeps files gets of a run's directory: each file, and its name below it."""
    for file in sorted(run.rglob("*")):
        parts = file.relative_to(run).parts
        if file.is_file() and parts[0] not in NOT_KEPT and not any(part.startswith(".") for part in parts):
            yield file, "/".join(parts)
