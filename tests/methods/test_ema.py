"""Momentum schedules against tabulated values; a copy that follows exactly, without gradient, and is saved."""

import copy

import pytest
import torch
from torch import nn

from ssl_cli.methods.shared.ema import EMA, ema_momentum


@pytest.fixture
def online():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)).double()


def stepped(module):
    """Return the module after some optimizer step and some BatchNorm update."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter))
    module(torch.randn(8, 3, dtype=torch.float64))
    return module


@pytest.mark.parametrize(
    "start, expected",
    [(0.996, [0.996, 0.996586, 0.998, 0.999414, 1.0]), (0.99, [0.99, 0.991464, 0.995, 0.998536, 1.0])],
)
def test_cosine_schedule(start, expected):
    values = [ema_momentum(progress, start, 1.0, "cosine") for progress in (0, 0.25, 0.5, 0.75, 1)]
    assert values == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "schedule, expected",
    [("constant", [0.9, 0.9, 0.9]), ("linear", [0.9, 0.925, 1.0]), ("cosine", [0.9, 0.91464466, 1])],
)
def test_schedules_begin_at_the_start_and_move_as_they_say(schedule, expected):
    values = [ema_momentum(progress, 0.9, 1.0, schedule) for progress in (0, 0.25, 1)]
    assert values == pytest.approx(expected, abs=1e-8)


def test_schedules_end_where_they_are_told():
    assert ema_momentum(1.0, 0.5, 0.8, "linear") == pytest.approx(0.8)
    assert ema_momentum(1.0, 0.5, 0.8, "cosine") == pytest.approx(0.8)


def test_begins_as_a_copy_that_shares_nothing(online):
    ema = EMA(online, 0.9)
    x = torch.randn(5, 3, dtype=torch.float64)
    assert torch.equal(ema.eval()(x), copy.deepcopy(online).eval()(x))
    shared = {t.data_ptr() for t in online.state_dict().values()} & {t.data_ptr() for t in ema.state_dict().values()}
    assert not shared


def test_ten_steps_towards_a_fixed_network():
    ema = EMA(nn.Linear(1, 1), 0.9)
    target = nn.Linear(1, 1)
    nn.init.zeros_(ema.module.weight)
    nn.init.ones_(target.weight)
    for _ in range(10):
        ema.update(target, 0.5)
    assert ema.module.weight.item() == pytest.approx(1 - 0.9**10, abs=1e-6)  # 0.651322


@pytest.mark.parametrize("schedule, progress", [("constant", 0.3), ("linear", 0.3), ("cosine", 0.7)])
def test_every_parameter_follows_by_the_momentum_of_the_moment(online, schedule, progress):
    ema = EMA(online, 0.8, 1.0, schedule)
    before = copy.deepcopy(ema.module)
    stepped(online)
    ema.update(online, progress)
    m = ema_momentum(progress, 0.8, 1.0, schedule)
    for mine, old, theirs in zip(ema.module.parameters(), before.parameters(), online.parameters(), strict=True):
        torch.testing.assert_close(mine, m * old + (1 - m) * theirs, rtol=0, atol=1e-14)
        assert not torch.equal(mine, old)


def test_momentum_1_keeps_every_bit_and_0_copies_every_bit(online):
    kept, copied = EMA(online, 1.0), EMA(online, 0.0)
    before = copy.deepcopy(kept.module)
    stepped(online)
    kept.update(online, 0.5)
    copied.update(online, 0.5)
    assert all(map(torch.equal, kept.module.parameters(), before.parameters()))
    assert all(map(torch.equal, copied.module.parameters(), online.parameters()))


def test_own_buffers_come_from_what_the_copy_sees(online):
    ema = EMA(online, 0.9, buffers="own").train()
    stepped(online)
    ema.update(online, 0.5)
    assert ema.module[1].num_batches_tracked == 0 and torch.equal(ema.module[1].running_mean, torch.zeros(4).double())
    ema(torch.randn(8, 3, dtype=torch.float64))
    assert ema.module[1].num_batches_tracked == 1 and ema.module[1].running_mean.abs().sum() > 0


def test_copied_buffers_are_the_online_network_s(online):
    ema = EMA(online, 0.9, buffers="copy")
    stepped(online)
    ema.update(online, 0.5)
    assert ema.module[1].num_batches_tracked == 1
    assert all(map(torch.equal, ema.module.buffers(), online.buffers()))


def test_no_gradient_reaches_the_copy_or_passes_through_it(online):
    ema = EMA(online, 0.9)
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert not ema(x).requires_grad
    (online(x) - ema(x)).square().sum().backward()
    stepped(online)
    ema.update(online, 0.5)
    assert all(not p.requires_grad and p.grad is None for p in ema.parameters())
    assert all(p.requires_grad and p.grad is not None for p in online.parameters())


def test_state_dict_round_trip(online):
    ema = EMA(online, 0.9)
    ema.update(stepped(online), 0.5)
    ema(torch.randn(8, 3, dtype=torch.float64))
    other = EMA(stepped(online), 0.9)
    other.load_state_dict(ema.state_dict())
    for later in (ema, other):
        later.update(online, 0.5)
    assert len(ema.state_dict()) == len(online.state_dict()) == 9
    assert all(map(torch.equal, ema.state_dict().values(), other.state_dict().values()))
