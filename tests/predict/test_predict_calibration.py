"""The numbers of a prediction against independent ones: temperature, percentiles, the two likeliest classes."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from ssl_cli.predict.calibration import Familiar, fit_temperature, nearest, two_likeliest
from ssl_cli.probes.scores.metrics import classification


def drawn(n: int, sharpness: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits [n, 5] and labels that are drawn by ``softmax(sharpness * logits)``."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, 5, generator=generator)
    return logits, torch.multinomial((sharpness * logits).softmax(1), 1, generator=generator)[:, 0]


def test_the_temperature_is_that_of_scipy_and_undoes_what_made_the_logits_too_sure():
    logits, labels = drawn(4000, 0.5)
    found = fit_temperature(logits, labels)
    target = torch.full((4000, 5), 1 / 4002 / 4, dtype=torch.float64)
    target[torch.arange(4000), labels] = 4001 / 4002

    def loss(log_t: float) -> float:
        return -(target * (logits.double() / np.exp(log_t)).log_softmax(1)).sum().item()

    assert found == pytest.approx(np.exp(minimize_scalar(loss, bounds=(-3, 3), options={"xatol": 1e-10}).x), rel=1e-4)
    assert found == pytest.approx(2.0, rel=0.1)
    logits, labels = drawn(4000, 0.5, seed=1)  # others of the same kind
    for temperature, wanted in ((1.0, lambda ece: ece > 0.1), (found, lambda ece: ece < 0.03)):
        classes, sure, *_ = two_likeliest(logits, temperature)
        assert wanted(classification(classes[None], labels, 5, sure[None].float())["ece"]["mean"])


def test_images_of_val_that_are_all_right_ask_for_no_certainty_without_end():
    logits = 10 * torch.eye(4).repeat(3, 1)
    few = fit_temperature(logits, torch.arange(4).repeat(3))
    sure = two_likeliest(logits, few)[1]
    torch.testing.assert_close(sure, torch.full((12,), 13 / 14, dtype=torch.float64))  # 12 right, and one of each kind


def test_the_second_class_is_the_likeliest_of_the_others():
    classes, first, second, less = two_likeliest(torch.tensor([[0.0, 2.0, 1.0], [3.0, 3.0, 3.0]]), 1.0)
    assert classes.tolist() == [1, 0] and second.tolist() == [2, 1]
    expected = torch.tensor([0.0, 2.0, 1.0]).double().softmax(0)
    torch.testing.assert_close(torch.stack([first[0], less[0]]), expected[[1, 2]])
    assert first[1] == less[1] == pytest.approx(1 / 3)


def test_unlike_is_the_share_of_val_that_is_closer_to_the_training_images():
    generator = torch.Generator().manual_seed(0)
    bank, val = torch.randn(40, 6, generator=generator), torch.randn(25, 6, generator=generator)
    familiar = Familiar.measured(bank, val)
    assert familiar.k == nearest(40) == 4
    unit = [x / x.norm(dim=1, keepdim=True) for x in (bank, val)]
    by_hand = torch.cdist(unit[1].double(), unit[0].double()).sort(1).values[:, 3]
    torch.testing.assert_close(familiar.distances(val).double(), by_hand, atol=1e-6, rtol=1e-5)
    rank = by_hand.argsort().argsort()
    assert familiar.unlike(val).tolist() == pytest.approx((100 * rank / 25).tolist())  # 0, 4, 8, ... 96
    assert familiar.unlike(torch.cat([bank[:1], -bank.mean(0, keepdim=True)]))[0] < 50
    assert Familiar.measured(bank, val[:0]).unlike(val) is None
    assert [nearest(n) for n in (1, 9, 25, 100, 10_000)] == [1, 1, 2, 10, 10]
