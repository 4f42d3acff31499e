"""Scores of predictions: each metric with its deviation over draws of the labels and its 95% interval."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_cli.probes.scores.bootstrap import class_sums, resamples, summary
from ssl_cli.probes.scores.ties import Guess

BINS = 15  # of the expected calibration error, as in Guo et al. 2017
IMBALANCE = 4  # largest over smallest test class: from here balanced accuracy is the headline


def classification(
    predicted: Tensor,
    truth: Tensor,
    classes: int,
    confidence: Tensor | None = None,
    guesses: Sequence[Guess] = (),
) -> dict[str, dict]:
    """Score predicted classes; the definitions are scikit-learn's.

    Args:
        predicted: [G, n] int64, one row a draw of the labels.
        truth: [n] int64 in 0..classes-1.
        classes: C.
        confidence: [G, n] in [0, 1], the probability given to the predicted class; None: no calibration error.
        guesses: the same predictions, if an input has several most probable classes: its scores and counts are then
            expected values.

    Returns:
        metric -> ``{"mean", "std", "ci"}``, see `summary`; the first is the headline: ``accuracy``, or
        ``balanced_accuracy`` (mean recall of the classes with an input) if the test inputs are `imbalanced`;
        ``macro_f1``; ``ece``, the expected calibration error with 15 bins (Guo et al. 2017, arXiv:1706.04599, eq. 3).
    """
    predicted, truth = predicted.cpu(), truth.cpu()
    weights = resamples(len(truth))
    support = class_sums(truth, weights, classes)
    values: dict[str, list[Tensor]] = {"accuracy": [], "balanced_accuracy": [], "macro_f1": [], "ece": []}
    for draw, guess in enumerate(predicted):
        right = guess == truth
        # Wrong guesses go to a class of their own: cheaper than picking the rows of the right ones.
        hits = class_sums(torch.where(right, truth, classes), weights, classes + 1)[:classes]
        guessed = class_sums(guess, weights, classes)
        if guesses and len(tied := guesses[draw].tied):
            right, chance, drawn = guesses[draw].right(truth), guesses[draw].chance(), weights[tied].double()
            change = right[tied] - (guess == truth)[tied].double()
            hits.index_add_(0, truth[tied], change[:, None] * drawn)
            guessed += chance.T @ drawn - class_sums(guess[tied], weights[tied], classes)
        values["accuracy"].append(hits.sum(0) / len(truth))
        values["balanced_accuracy"].append((hits / support).nanmean(0))  # 0 / 0: a class without an input
        values["macro_f1"].append((2 * hits / (support + guessed)).nanmean(0))
        if confidence is not None:
            values["ece"].append(_calibration_error(confidence[draw].cpu(), right, weights))
    metrics = {name: summary(torch.stack(rows)) for name, rows in values.items() if rows}
    if imbalanced(truth):
        metrics = {"balanced_accuracy": metrics.pop("balanced_accuracy"), **metrics}
    return metrics


def _calibration_error(confidence: Tensor, right: Tensor, weights: Tensor) -> Tensor:
    """Return the gap between confidence and accuracy, weighted by inputs over equal bins of confidence: [1 + B]."""
    bins = (confidence * BINS).ceil().long().clamp(1, BINS) - 1  # (0, 1/15], (1/15, 2/15], ...
    gap = (confidence - right.float())[:, None] * weights
    return class_sums(bins, gap, BINS).abs().sum(0) / len(right)


def regression(predicted: Tensor, truth: Tensor, baseline: Tensor, period: float | None = None) -> dict[str, dict]:
    """Score predicted values; the definitions are scikit-learn's.

    Args:
        predicted: [G, n] float64, one row a draw of the training inputs.
        truth: [n] float64, not all equal.
        baseline: [G, n] float64, the mean of the training targets.
        period: of a circular target: errors are the shorter way round, the mean is the circular one.

    Returns:
        ``r2`` (the headline), ``mae`` and ``rmse`` in the target's units, and the same two of predicting the mean:
        ``mae_of_mean``, ``rmse_of_mean``; each ``{"mean", "std", "ci"}``.
    """
    predicted, truth, baseline = predicted.cpu(), truth.cpu(), baseline.cpu()
    weights = resamples(len(truth)).double()
    if period is None:
        centred = truth - truth.mean()
        spread = centred.square() @ weights - (centred @ weights).square() / len(truth)
    else:
        angle = truth * (2 * torch.pi / period)
        centre = torch.atan2(angle.sin() @ weights, angle.cos() @ weights) * (period / (2 * torch.pi))
        spread = (distance(truth[:, None], centre, period).square() * weights).sum(0)
    spread = torch.where(spread > 1e-12 * spread[0], spread, torch.nan)  # a resample of equal values has no R2
    errors, of_mean = distance(predicted, truth, period), distance(baseline, truth, period)
    values = {
        "r2": 1 - errors.square() @ weights / spread,
        "mae": errors.abs() @ weights / len(truth),
        "rmse": (errors.square() @ weights / len(truth)).sqrt(),
        "mae_of_mean": of_mean.abs() @ weights / len(truth),
        "rmse_of_mean": (of_mean.square() @ weights / len(truth)).sqrt(),
    }
    return {name: summary(rows) for name, rows in values.items()}


def distance(a: Tensor, b: Tensor, period: float | None) -> Tensor:
    """Return a - b, on a circle the shorter way round: in [-period / 2, period / 2)."""
    return a - b if period is None else torch.remainder(a - b + period / 2, period) - period / 2


def imbalanced(truth: Tensor) -> bool:
    """Return whether the largest class among test inputs [n] is at least 4 times as large as the smallest."""
    counts = torch.bincount(truth.cpu())
    return bool(counts.max() >= IMBALANCE * counts[counts > 0].min())


def confusion(predicted: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Return how many inputs of each true class (row) got each prediction (column): [C, C], the mean over draws."""
    cells = truth.cpu() * classes + predicted.cpu()
    counts = torch.bincount(cells.flatten(), minlength=classes * classes)
    return counts.view(classes, classes).double() / len(predicted)
