"""Intervals of differences: equal to scipy's, and as often right as they say."""

import numpy as np
import pytest
from scipy import stats

from ssl_cli.compare.intervals import envelope, input_interval, r2_interval, t_interval, welch_interval

A, B = [0.91, 0.93, 0.96, 0.94], [0.90, 0.90, 0.95, 0.91]


def test_t_intervals_are_those_of_scipy():
    paired = stats.ttest_rel(A, B).confidence_interval(0.9)
    assert t_interval(A, B, paired=True, level=0.9) == pytest.approx((paired.low, paired.high), abs=1e-12)
    welch = stats.ttest_ind(A, B[:3], equal_var=False).confidence_interval(0.95)
    assert t_interval(A, B[:3], paired=False) == pytest.approx((welch.low, welch.high), abs=1e-12)
    exact = stats.ttest_1samp(A, 0.9).confidence_interval(0.95)  # of the mean itself
    assert t_interval(A, [0.9] * 4, paired=True) == pytest.approx((exact.low - 0.9, exact.high - 0.9), abs=1e-12)
    by_summary = welch_interval((np.mean(A), np.std(A, ddof=1), 4), (np.mean(B), np.std(B, ddof=1), 4))
    assert by_summary == pytest.approx(t_interval(A, B, paired=False))


def test_one_run_each_tells_nothing_of_other_seeds():
    assert t_interval([0.9], [0.8], paired=True) is None
    assert t_interval([0.9], [0.8, 0.7], paired=False) is None
    assert t_interval([0.9, 0.9, 0.9], [0.8, 0.8, 0.8], paired=True) is None
    assert t_interval([0.9, 0.9], [0.8, 0.8, 0.8], paired=False) is None
    assert envelope([None, None]) is None
    assert envelope([None, (0.1, 0.2), (-0.1, 0.15)]) == (-0.1, 0.2)


def simulated(generator, n, right, only_a, only_b):
    """Two classifiers: both right, only one, or neither."""
    kind = generator.choice(4, size=n, p=[right, only_a, only_b, 1 - right - only_a - only_b])
    return np.isin(kind, [0, 1]).astype(float), np.isin(kind, [0, 2]).astype(float)


@pytest.mark.parametrize(
    "n, right, only_a, only_b",
    [(359, 0.8, 0.08, 0.05), (359, 0.97, 0.01, 0.01), (359, 0.98, 0.012, 0.002), (100, 0.6, 0.15, 0.15)],
)
def test_the_bootstrap_covers_the_true_difference_as_often_as_it_says(n, right, only_a, only_b):
    generator = np.random.default_rng(1)
    trials, held = 300, 0
    for trial in range(trials):
        low, high = input_interval(*simulated(generator, n, right, only_a, only_b), seed=trial)
        held += low <= only_a - only_b <= high
    # 95 % of 300 is 285 with deviation 3.8; near 100 % accuracy it may be too often, never too seldom.
    assert held >= 285 - 3 * 3.8
    assert held <= 285 + 3 * 3.8 or right > 0.9


def test_the_bootstrap_covers_a_balanced_difference():
    generator, trials, held = np.random.default_rng(2), 200, 0
    for trial in range(trials):
        rare, common = simulated(generator, 60, 0.5, 0.3, 0.1), simulated(generator, 300, 0.9, 0.02, 0.05)
        a, b = (np.concatenate(pair) for pair in zip(rare, common, strict=True))
        low, high = input_interval(a, b, strata=np.repeat([3, 7], [60, 300]), seed=trial)
        held += low <= (0.2 - 0.03) / 2 <= high
    assert 190 - 3 * 3.1 <= held <= 190 + 3 * 3.1


def test_it_judges_few_images_as_the_exact_test_does():
    for wins, sure in ((0, False), (4, False), (5, False), (6, True), (20, True)):
        a, b = np.ones(400), np.ones(400)
        b[:wins] = 0
        low, high = input_interval(a, b)
        assert (low > 0) == sure == (stats.binomtest(wins, max(wins, 1)).pvalue < 0.05)
        assert low <= wins / 400 <= high


def test_equal_models_differ_by_nothing_and_paired_is_tighter_than_not():
    generator = np.random.default_rng(3)
    a = (generator.random(1000) < 0.7).astype(float)
    low, high = input_interval(a, a)
    assert low < 0 < high and high - low < 0.01
    b = a.copy()
    b[generator.choice(1000, 30, replace=False)] = 0  # a little worse on the same images
    low, high = input_interval(a, b)
    apart = input_interval(a, generator.permutation(b))
    assert low > 0 and high - low < 0.5 * (apart[1] - apart[0])
    assert input_interval(a, b) == (low, high)  # seeded


def test_the_interval_of_r2_covers_the_true_difference():
    generator, held = np.random.default_rng(4), 0
    for trial in range(100):
        y = generator.normal(size=200)
        errors = [(generator.normal(size=200) * scale) ** 2 for scale in (0.5, 0.7)]
        low, high = r2_interval(*errors, y, seed=trial, resamples=200)
        held += low <= 0.7**2 - 0.5**2 <= high
    assert 95 - 3 * 2.2 <= held <= 100
