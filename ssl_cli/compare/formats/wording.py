"""The texts of a comparison in any format: its title, its heads and its cells."""

from dataclasses import dataclass

from ssl_cli.compare.cells import Column
from ssl_cli.compare.metrics import METRICS, PLAIN, scale_and_digits
from ssl_cli.compare.result import Comparison, Line, Score
from ssl_cli.compare.table import header


def title(c: Comparison) -> str:
    """Return what the numbers are."""
    metrics = list(dict.fromkeys(at[3] for at in c.columns))
    names = ", ".join(METRICS.get(metric, metric.replace("_", " ")) for metric in metrics)
    percent = "" if any(metric in PLAIN for metric in metrics) else " in %"
    return f"{names[0].upper()}{names[1:]}{percent} on the test split of {c.dataset or 'unknown data'}"


def head(c: Comparison, at: Column) -> str:
    """Return the head of a column, in short lines."""
    several = len({metric for *_, metric in c.columns}) > 1
    metric = METRICS.get(at[3], at[3].replace("_", " ")) + ("" if at[3] in PLAIN else " %")
    return header(*at[:3]) + (f",\n{metric}" if several else "")


def score_text(score: Score, at: Column) -> str:
    """Return for example ``95.9 ± 0.3``."""
    scale, digits = scale_and_digits(at[3])
    deviation = "" if score.std is None else f" ± {scale * score.std:.{digits}f}"
    return f"{scale * score.mean:.{digits}f}{deviation}"


def difference_text(score: Score, at: Column) -> str:
    """Return for example ``+6.2 [5.1, 7.4]``; a difference within noise begins with ``~``."""
    scale, digits = scale_and_digits(at[3])
    low_high = (
        "" if score.interval is None else " [{}, {}]".format(*(f"{scale * x:.{digits}f}" for x in score.interval))
    )
    return f"{'~' if score.within_noise else ''}{scale * score.difference:+.{digits}f}{low_high}"


def cost_heads(c: Comparison) -> list[str]:
    """Return the heads of the columns that are no scores: those of networks where any is said to be of weights."""
    network = ["million parameters", f"{c.noun}s a second", "licence"]  # features, frozen; weights it began with
    return ["runs", "seconds", f"{c.noun}s seen", *(network if any(line.network for line in c.lines) else [])]


def cost(c: Comparison, line: Line) -> list[str]:
    """Return how many runs a line is the mean of, what one of them cost, and what its network is; see `cost_heads`."""
    counts = {score.n for score in line.scores.values()}
    runs = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    cells = [runs, *(_number(value) for value in (line.seconds, line.images_seen))]
    if not any(other.network for other in c.lines):
        return cells
    if line.network is None:
        return [*cells, "", "", ""]
    n = line.network
    return [
        *cells,
        _number(n.parameters and n.parameters / 1e6, 1),
        _number(n.images_per_second),
        n.licence or "not stated",
    ]


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


@dataclass
class ScoreCell:
    """A score as text."""

    score: str = ""
    difference: str = ""  # to the line that all are compared with
    within_noise: bool | None = None  # the difference; None where that is not known
    best: bool = False  # of its column


def score_cells(c: Comparison, line: Line) -> list[ScoreCell]:
    """Return the cells of a line, one for each column; they are empty where the line has no score."""
    cells = []
    for at in c.columns:
        score = line.scores.get(at)
        if score is None:
            cells.append(ScoreCell())
            continue
        difference = "" if score.difference is None else difference_text(score, at)
        cells.append(ScoreCell(score_text(score, at), difference, score.within_noise, c.is_best(score, at)))
    return cells
