"""Metrics against scikit-learn, intervals against the distribution that they claim to cover."""

import warnings

import numpy as np
import pytest
import torch

from ssl_cli.probes.scores.bootstrap import resamples, summary
from ssl_cli.probes.scores.metrics import classification, confusion, imbalanced


def guesses(n=400, classes=6, draws=3, missing=None):
    g = torch.Generator().manual_seed(0)
    truth = torch.randint(0, classes, (n,), generator=g)
    if missing is not None:
        truth[truth == missing] = 0
    noise = torch.randint(0, classes, (draws, n), generator=g)
    return torch.where(torch.rand(draws, n, generator=g) < 0.6, truth, noise), truth, torch.rand(draws, n, generator=g)


@pytest.mark.parametrize("missing", [None, 4])  # a class that no test image has
def test_equal_to_scikit_learn(missing):
    from sklearn import metrics as sk

    predicted, truth, _ = guesses(missing=missing)
    found = classification(predicted, truth, 6)
    for name, reference in (
        ("accuracy", sk.accuracy_score),
        ("balanced_accuracy", sk.balanced_accuracy_score),
        ("macro_f1", lambda y, p: sk.f1_score(y, p, average="macro")),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a predicted class that is not there
            values = [reference(truth.numpy(), p.numpy()) for p in predicted]
        assert found[name]["mean"] == pytest.approx(np.mean(values), abs=1e-12)
        assert found[name]["std"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    matrix = np.mean([sk.confusion_matrix(truth, p, labels=range(6)) for p in predicted], axis=0)
    assert np.array_equal(confusion(predicted, truth, 6), matrix)


def test_calibration_error_is_its_definition_and_0_for_honest_probabilities():
    predicted, truth, confidence = guesses(draws=1)
    right = (predicted == truth)[0].double()
    expected, edges = 0.0, np.linspace(0, 1, 16)
    for low, high in zip(edges, edges[1:], strict=False):
        inside = (confidence[0] > low) & (confidence[0] <= high)
        if inside.any():
            expected += inside.double().mean() * (confidence[0][inside].double().mean() - right[inside].mean()).abs()
    assert classification(predicted, truth, 6, confidence)["ece"]["mean"] == pytest.approx(expected.item(), abs=1e-6)
    honest = torch.rand(1, 50_000, generator=torch.Generator().manual_seed(1))
    truth = (torch.rand(honest.shape, generator=torch.Generator().manual_seed(2)) > honest).long()[0]
    assert classification(torch.zeros_like(honest).long(), truth, 2, honest)["ece"]["mean"] < 0.01
    certain = classification(torch.zeros_like(honest).long(), truth, 2, torch.ones_like(honest))
    assert certain["ece"]["mean"] == pytest.approx(0.5, abs=0.01)


def test_resamples_are_multinomial_and_always_the_same():
    weights = resamples(60)
    assert (weights[:, 0] == 1).all() and torch.equal(weights.sum(0), torch.full((1001,), 60.0))
    draws = weights[:, 1:]
    assert draws.mean().item() == pytest.approx(1) and draws.var().item() == pytest.approx(1 - 1 / 60, abs=0.02)
    resamples.cache_clear()
    assert torch.equal(resamples(60), weights)


@pytest.mark.parametrize("name, truth_value", [("accuracy", 0.7 * 0.9 + 0.3 * 0.5), ("balanced_accuracy", 0.7)])
def test_the_interval_covers_the_truth_in_95_of_100_experiments(name, truth_value):
    g, covered = torch.Generator().manual_seed(0), 0
    for _ in range(400):  # two classes, 70 % and 30 %, of which 90 % and 50 % are recognised
        truth = (torch.rand(250, generator=g) < 0.3).long()
        right = torch.rand(250, generator=g) < torch.tensor([0.9, 0.5])[truth]
        low, high = classification(torch.where(right, truth, 1 - truth)[None], truth, 2)[name]["ci"]
        covered += low <= truth_value <= high
    assert 0.92 <= covered / 400 <= 0.98  # 95 % within three standard errors


def test_a_summary_is_over_draws_and_its_interval_over_images():
    values = torch.tensor([[0.5, 0.4, 0.6], [0.7, 0.6, 0.8]], dtype=torch.float64)
    found = summary(values)
    assert found["mean"] == pytest.approx(0.6) and found["std"] == pytest.approx(0.2**0.5 / 10**0.5)
    assert found["ci"] == pytest.approx([0.505, 0.695])
    assert summary(values[:1])["std"] is None


def test_what_is_imbalanced():
    assert not imbalanced(torch.tensor([0] * 7 + [1] * 2 + [3] * 3))
    assert imbalanced(torch.tensor([0] * 8 + [1] * 2))
    predicted = torch.zeros(1, 10, dtype=torch.int64)
    assert next(iter(classification(predicted, torch.tensor([0] * 8 + [1] * 2), 2))) == "balanced_accuracy"
