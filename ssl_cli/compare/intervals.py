"""Intervals of the difference of two models: over runs or draws by Student's t, over test inputs by a bootstrap."""

import math
import statistics
from collections.abc import Sequence

import numpy as np

Interval = tuple[float, float]
RESAMPLES = 5000


def t_interval(a: Sequence[float], b: Sequence[float], paired: bool, level: float = 0.95) -> Interval | None:
    """Return the interval of mean(a) - mean(b) for values that vary from run to run.

    Args:
        a: one value a run.
        b: likewise.
        paired: a[i] and b[i] belong together (the same seed): then it is the interval of the mean of their
            differences; else Welch's (1947), with Satterthwaite's degrees of freedom.
        level: in (0, 1).

    Returns:
        (low, high); None for fewer than two runs, and where nothing varies: scores are counts of inputs, and three runs
        with the same count do not show that a fourth would have it.
    """
    if len(a) < 2 or len(b) < 2:
        return None
    if paired:
        d = [x - y for x, y in zip(a, b, strict=True)]
        if statistics.stdev(d) < 1e-12:
            return None
        return _around(statistics.fmean(d), statistics.stdev(d) / math.sqrt(len(d)), len(d) - 1, level)
    if statistics.stdev(a) + statistics.stdev(b) < 1e-12:
        return None
    return welch_interval(_summary(a), _summary(b), level)


def welch_interval(a: tuple[float, float, int], b: tuple[float, float, int], level: float = 0.95) -> Interval:
    """Return Welch's interval of the difference of two means, each given as (mean, deviation, n >= 2)."""
    (mean_a, std_a, n_a), (mean_b, std_b, n_b) = a, b
    u, v = std_a**2 / n_a, std_b**2 / n_b
    freedom = (u + v) ** 2 / (u**2 / (n_a - 1) + v**2 / (n_b - 1)) if u + v else 1
    return _around(mean_a - mean_b, math.sqrt(u + v), freedom, level)


def input_interval(
    a: np.ndarray, b: np.ndarray, strata: np.ndarray | None = None, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return the percentile interval of mean(a) - mean(b) when the test inputs are drawn anew, the same for both.

    Models near 100 % differ on few inputs, and a bootstrap that only redraws these is too sure: four inputs that one
    model alone gets right never come out the other way round. So each resample also gets, on average, one input more
    that a alone has right and one that b alone has right, as Bonett and Price (2012) do for the interval of paired
    proportions; among thousands of inputs this is nothing.

    Args:
        a: [n] score of each test input in [0, 1]: right or wrong, or the mean of that over draws and runs.
        b: [n] of the other model, on the same inputs.
        strata: [n] the inputs' classes, for a mean over classes of their means (balanced accuracy); None: over inputs.
        level: in (0, 1).
        seed: of the resampling.
    """
    d = np.asarray(a, float) - np.asarray(b, float)
    n, groups = len(d), np.zeros(len(d), int) if strata is None else np.unique(strata, return_inverse=True)[1]
    # Inputs with the same class and the same difference are alike: to draw their counts is to draw inputs.
    cells, counts = np.unique(np.stack([groups, d.round(9)]), axis=1, return_counts=True)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(n, counts / n, size=RESAMPLES)
    totals = np.zeros(RESAMPLES)
    for group in range(groups.max() + 1):
        at = cells[0] == group
        totals += drawn[:, at] @ cells[1, at] / np.maximum(drawn[:, at].sum(1), 1)
    one_each = generator.poisson(1, (RESAMPLES, 2))
    return _percentiles(totals / (groups.max() + 1) + (one_each[:, 0] - one_each[:, 1]) / n, level)


def r2_interval(
    a: np.ndarray, b: np.ndarray, targets: np.ndarray, level: float = 0.95, seed: int = 0, resamples: int = 1000
) -> Interval:
    """Return the percentile interval of R2(a) - R2(b) when the test inputs are drawn anew, the same for both.

    Args:
        a: [n] squared error of each test input, or its mean over draws and runs.
        b: [n] of the other model, on the same inputs.
        targets: [n] the true values.
        level: in (0, 1).
        seed: of the resampling.
        resamples: how often.
    """
    generator = np.random.default_rng(seed)
    n, y = len(targets), targets - targets.mean()
    found = []
    for _ in range(resamples):
        at = generator.integers(0, n, n)
        found.append((b[at] - a[at]).sum() / max(((y[at] - y[at].mean()) ** 2).sum(), 1e-12))
    return _percentiles(np.array(found), level)


def envelope(intervals: Sequence[Interval | None]) -> Interval | None:
    """Return the interval from the lowest to the highest end; None where there is none."""
    known = [interval for interval in intervals if interval is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def _around(centre: float, error: float, freedom: float, level: float) -> Interval:
    from scipy.special import stdtrit  # scikit-learn brings it; slow to import, so only where it is used

    half = float(stdtrit(freedom, (1 + level) / 2)) * error
    return centre - half, centre + half


def _summary(values: Sequence[float]) -> tuple[float, float, int]:
    return statistics.fmean(values), statistics.stdev(values), len(values)


def _percentiles(values: np.ndarray, level: float) -> Interval:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
