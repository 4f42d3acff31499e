"""What a comparison is: lines, their scores in each column, and the differences between lines."""

from dataclasses import dataclass, field

from ssl_cli.compare.cells import Cell, Column
from ssl_cli.compare.intervals import Interval
from ssl_cli.compare.metrics import LOWER


@dataclass
class Score:
    """One cell: a group of runs, measured one way."""

    mean: float
    std: float | None  # over runs; where no line has several, over draws of the labels
    n: int  # runs
    draws: int  # of the labels, in each run
    difference: float | None = None  # to the line that all are compared with
    interval: Interval | None = None  # of the difference
    kinds: tuple[str, ...] = ()  # what it covers: "runs", "draws", "images"

    @property
    def within_noise(self) -> bool | None:
        """Whether the interval of the difference contains 0; None without one."""
        return None if self.interval is None else self.interval[0] <= 0 <= self.interval[1]


@dataclass
class Network:
    """What a network costs to use, and whether one may."""

    parameters: int | None
    images_per_second: float | None  # of features, frozen; mean of the runs
    licence: str | None  # of the weights that it began with; None: nobody's, or not stated


@dataclass
class Line:
    """One line of the table."""

    name: str
    baseline: bool
    runs: list[str]  # directories
    scores: dict[Column, Score]
    seconds: float | None  # of training, mean of the runs
    images_seen: float | None
    collapsed: int  # runs whose embedding had
    cells: dict[Column, Cell] = field(repr=False)  # what the scores are of
    network: Network | None = None  # of runs that began with weights of others, or that only measured


@dataclass
class Comparison:
    """What `ssl compare` shows."""

    dataset: str
    columns: list[Column]
    lines: list[Line]  # baselines first
    against: str | None  # the line that the others are compared with
    why: str  # how it was chosen
    level: float
    left_out: list[tuple[str, str]]  # directory, reason
    notices: list[str]
    noun: str  # what one input of the data set is called

    def is_best(self, score: Score, at: Column) -> bool:
        """Return whether a score is shown as the best of its column."""
        means = [round(line.scores[at].mean, 3) for line in self.lines if at in line.scores]
        return round(score.mean, 3) == (min if at[3] in LOWER else max)(means)
