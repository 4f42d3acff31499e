"""Collapse diagnostics against closed forms."""

import math

import pytest
import torch

from ssl_cli.probes.scores.diagnostics import alignment, collapsed, feature_std, rankme, uniformity


def test_feature_std():
    assert feature_std(torch.ones(50, 8)) == pytest.approx(0, abs=1e-12)
    spread = torch.randn(20_000, 64, generator=torch.Generator().manual_seed(0))
    assert feature_std(spread) == pytest.approx(1, abs=0.01)
    assert feature_std(7 * spread) == pytest.approx(feature_std(spread))


def test_rankme():
    assert rankme(torch.eye(8)) == pytest.approx(8, abs=1e-4)
    assert rankme(torch.outer(torch.arange(1.0, 9), torch.ones(5))) == pytest.approx(1, abs=1e-4)
    assert rankme(torch.diag(torch.tensor([4.0, 2.0, 1.0, 1.0]))) == pytest.approx(3.363586, abs=1e-4)


@pytest.mark.parametrize("degrees, expected", [(0, 0), (10, 0.030384), (30, 0.267949), (60, 1), (90, 2), (180, 4)])
def test_alignment(degrees, expected):
    angle = math.radians(degrees)
    z1, z2 = torch.tensor([[3.0, 0.0]]), torch.tensor([[math.cos(angle), math.sin(angle)]])
    assert alignment(z1, z2) == pytest.approx(expected, abs=1e-5)


def test_uniformity():
    assert uniformity(torch.eye(4)) == pytest.approx(-4, abs=1e-6)
    assert uniformity(torch.ones(5, 3)) == pytest.approx(0, abs=1e-6)
    assert uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(-8, abs=1e-6)
    spread = torch.randn(1500, 64, generator=torch.Generator().manual_seed(0))
    assert uniformity(spread) == pytest.approx(-3.8752, abs=0.02)


def test_the_rule_needs_both_numbers():
    assert collapsed(std=0.05, rank=24) and collapsed(std=0.5, rank=5)
    assert not collapsed(std=0.84, rank=17.6)
