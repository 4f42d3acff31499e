"""Energies: sampling against a known distribution, the gradient of the loss, chains that go on, divergence noticed."""

import math

import pytest
import torch
from experiments import composed
from torch import nn

from ssl_cli.batch import Task
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.errors import RunError, UserError
from ssl_cli.methods.ebm import check_energies, contrastive_divergence
from ssl_cli.methods.jem import free_energy
from ssl_cli.methods.shared.langevin import Chains, langevin
from ssl_cli.setup.parts import build_method

INFO = ImageInfo("tiny", 1, 16, tuple("0123456789"), 64, 64, 64, (0.3,), (0.25,))


def built(name, *overrides, info=INFO):
    torch.manual_seed(0)
    return build_method(composed("train", [f"method={name}", "method.chains=8", "method.buffer=40", *overrides]), info)


def task(rows=16):
    g = torch.Generator().manual_seed(0)
    labels = torch.full((rows,), -1)
    labels[: rows // 4] = torch.randint(10, (rows // 4,), generator=g)
    return Task([torch.randn(rows, 1, 16, 16, generator=g)], None, labels, torch.arange(rows))


def test_langevin_samples_a_gaussian_energy():
    torch.manual_seed(0)
    mean, variance, step = 0.7, 0.25, 0.01
    x = torch.zeros(4000, 1, dtype=torch.float64)
    noise = lambda: torch.randn_like(x) * math.sqrt(2 * step)  # noqa: E731
    samples = langevin(lambda v: ((v - mean) ** 2 / (2 * variance)).sum(1), x, 300, step, noise, bounds=None)
    assert samples.mean().item() == pytest.approx(mean, abs=0.03)
    assert samples.var().item() == pytest.approx(variance / (1 - step / (2 * variance)), rel=0.08)


def test_sampling_goes_downhill_stays_in_bounds_and_touches_no_parameter():
    torch.manual_seed(0)
    model = built("ebm")
    start = torch.rand(8, 1, 16, 16)
    end = langevin(model.energy, start, 20, 1.0, None)
    assert (model.energy(end) < model.energy(start)).all()
    assert end.min() >= 0 and end.max() <= 1 and not end.requires_grad
    assert all(p.grad is None for p in model.parameters())


def test_the_loss_and_its_gradient():
    data, samples = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 4.0, 6.0])
    expected = 2.0 - 4.0 + 0.1 * (5.0 + 56 / 3)
    assert contrastive_divergence(data, samples, 0.1).item() == pytest.approx(expected)
    energy = nn.Linear(3, 1)
    real, dreamt = torch.randn(6, 3), torch.randn(4, 3)
    contrastive_divergence(energy(real), energy(dreamt), 0.0).backward()
    torch.testing.assert_close(energy.weight.grad[0], real.mean(0) - dreamt.mean(0))


def test_the_energy_of_a_classifier():
    logits = torch.randn(5, 10)
    torch.testing.assert_close(free_energy(logits), -logits.exp().sum(1).log())
    torch.testing.assert_close(free_energy(logits + 2), free_energy(logits) - 2)
    torch.testing.assert_close((logits + 2).softmax(1), logits.softmax(1))
    # p(y|x) = exp(f_y + E): classification does not see the energy.
    torch.testing.assert_close((logits + free_energy(logits)[:, None]).exp(), logits.softmax(1))


def test_chains_go_on_where_they_were_and_some_begin_again():
    torch.manual_seed(0)
    settings = {"count": 10, "steps": 3, "step_size": 0.1, "noise": 0.0}
    chains = Chains(30, (1, 4, 4), restart=0.0, **settings)
    before = chains.images.clone()
    moved = chains.sample(lambda x: x.flatten(1).sum(1))  # the slope is 1 everywhere
    changed = (chains.images != before).flatten(1).any(1)
    assert changed.sum() == 10
    torch.testing.assert_close(chains.images[changed], (before[changed] - 0.3).clamp(0, 1))
    assert sorted(moved.sum((1, 2, 3)).tolist()) == sorted(chains.images[changed].sum((1, 2, 3)).tolist())
    anew = Chains(30, (1, 4, 4), restart=1.0, **settings)
    anew.images.zero_()
    anew.sample(lambda x: x.flatten(1).sum(1))
    assert ((anew.images > 0).flatten(1).any(1)).sum() == 10
    with pytest.raises(UserError, match="method.chains=40"):
        Chains(30, (1, 4, 4), restart=0.0, **{**settings, "count": 40})


@pytest.mark.parametrize("name", ["ebm", "jem"])
def test_training_lowers_the_energy_of_data_against_noise(name):
    model = built(name, "method.data_noise=0.0", "method.steps=5")
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-3)
    batch = task()
    pixels = batch.views[0] * 0.25 + 0.3
    noise = torch.rand(64, 1, 16, 16)
    before = (model.energy(noise).mean() - model.energy(pixels).mean()).item()
    for step in range(15):
        optimizer.zero_grad()
        outputs = model(batch)
        outputs["loss"].backward()
        optimizer.step()
        model.after_step(step / 15)
    after = (model.energy(noise).mean() - model.energy(pixels).mean()).item()
    assert after > before and torch.isfinite(outputs["energy_gap"])


def test_divergence_is_one_clear_error():
    check_energies(torch.tensor(10.0), 1000.0)
    for value in (1e4, math.nan, math.inf):
        with pytest.raises(RunError, match="energy diverges.*optimizer.lr"):
            check_energies(torch.tensor(value), 1000.0)
    model = built("ebm", "method.alpha=0.0", "method.energy_limit=50", "method.steps=5")
    optimizer = torch.optim.SGD(model.parameters(), 3.0)
    with pytest.raises(RunError, match="method.energy_limit=50"):
        for step in range(60):
            optimizer.zero_grad()
            model(task())["loss"].backward()
            optimizer.step()
            model.after_step(step / 60)


@pytest.mark.parametrize("name", ["ebm", "jem"])
def test_what_does_not_fit_is_refused(name):
    with pytest.raises(UserError, match=f"method={name}.*backbone=convnet_plain"):
        built(name, "backbone=convnet")
    if name == "jem":
        with pytest.raises(UserError, match="method=jem needs some labels.*method=ebm"):
            built("jem", info=ImageInfo("flat", 1, 16, (), 64, 64, 0, (0.3,), (0.25,)))


def test_samples_are_shown():
    pictures = built("ebm").pictures(task())
    assert pictures["samples"].shape == (4, 8, 1, 16, 16)


def test_jem_uses_labels_where_there_are_some():
    model = built("jem", "method.steps=5").double()
    batch = task()
    batch.views = [batch.views[0].double()]

    def loss():
        torch.manual_seed(1)
        model.chains.images.fill_(0.5)
        return model(batch)["loss"]

    plain = loss()
    batch.labels[4:] = 7  # hidden ones
    assert torch.equal(loss(), plain)
    batch.labels[0] = (batch.labels[0] + 1) % 10
    assert not torch.equal(loss(), plain)


def test_a_step_of_jem_s_published_code_is_a_quarter_on_pixels_in_0_to_1():
    """There pixels are in [-1, 1], a step is 1 and its noise 0.01: conf/method/jem.yaml says what that is here."""
    a = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    noises = torch.randn(3, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    start = torch.rand(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def published(x):  # the energy that a network sees on [-1, 1]
        return (x.pow(3) * a).sum(1)

    x = 2 * start - 1
    for noise in noises:
        x = x - 1.0 * 3 * x.square() * a + 0.01 * noise
    draws = iter(noises)
    ours = langevin(lambda p: published(2 * p - 1), start, 3, 0.25, lambda: 0.005 * next(draws), bounds=None)
    torch.testing.assert_close(2 * ours - 1, x)
