import math
import subprocess
import sys

import pytest
from experiments import composed

from ssl_cli.config.check import check
from ssl_cli.errors import UserError
from ssl_cli.optim.schedule import (
    Constant,
    Cosine,
    SevenSixteenths,
    Steps,
    effective_lr,
    parse_duration,
    warmup_cosine,
)


@pytest.mark.parametrize(
    ("text", "steps"),
    [("10%", 100), ("2.5 %", 25), ("5 epochs", 35), ("5epochs", 35), ("1 epoch", 7), ("0.5 epochs", 4)]
    + [("500 steps", 500), ("1 step", 1), ("0", 0), (0, 0), ("0%", 0), ("100%", 1000)],
)
def test_duration(text, steps):
    assert parse_duration(text, steps_per_epoch=7, total_steps=1000) == steps


@pytest.mark.parametrize("text", ["10", 10, "", "ten steps", "-5 epochs", "101%", "1.5 steps", "5 hours", "0.1", None])
def test_duration_error_shows_the_three_forms(text):
    with pytest.raises(UserError, match=r"10%.*5 epochs.*500 steps"):
        parse_duration(text, 7, 1000)


def test_warmup_cosine_closed_form():
    factors = [warmup_cosine(step, 109, 8, final=0.1) for step in range(109)]
    assert factors[:8] == pytest.approx([i / 8 for i in range(1, 9)])
    assert factors[8] == 1.0
    assert factors[58] == pytest.approx(0.55)  # halfway down
    assert factors[33] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 4)))
    assert factors[-1] == pytest.approx(0.1)
    assert all(a >= b for a, b in zip(factors[8:], factors[9:], strict=False))


@pytest.mark.parametrize(("total", "warmup"), [(1, 0), (1, 1), (2, 0), (3, 5)])
def test_short_trainings_stay_in_range_and_learn_at_step_0(total, warmup):
    factors = [warmup_cosine(step, total, warmup) for step in range(total)]
    assert factors[0] > 0
    assert all(0 <= f <= 1 for f in factors)


def test_schedules_know_their_warmup():
    cosine = Cosine(total_steps=200, steps_per_epoch=10, warmup="2 epochs", final=0.5)
    assert cosine.warmup_steps == 20
    assert (cosine(0), cosine(19), cosine(199)) == pytest.approx((0.05, 1.0, 0.5))
    constant = Constant(total_steps=200, steps_per_epoch=10, warmup="10 steps")
    assert (constant(0), constant(50), constant(199)) == pytest.approx((0.1, 1.0, 1.0))


def test_a_warm_up_begins_where_it_is_told_to():
    """SwAV's: linspace(0.3, 4.8, warm-up steps), then a cosine that ends at 0.0048."""
    swav = Cosine(total_steps=50, steps_per_epoch=10, warmup="1 epoch", start=0.3 / 4.8, final=0.001)
    assert [4.8 * swav(step) for step in range(10)] == pytest.approx([0.3 + i * 0.5 for i in range(10)])
    assert 4.8 * swav(49) == pytest.approx(0.0048)
    from_zero = Constant(total_steps=50, steps_per_epoch=10, warmup="4 steps", start=0.0)
    assert [from_zero(step) for step in range(5)] == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert Constant(50, 10, warmup="1 step", start=0.0)(0) == 1.0
    with pytest.raises(UserError, match=r"schedule\.start=zero is not a number"):
        Constant(50, 10, start="zero")


def test_seven_sixteenths_of_a_cosine():
    fixmatch = SevenSixteenths(total_steps=1024, steps_per_epoch=64)
    assert [fixmatch(k) for k in (0, 256, 512, 1023)] == pytest.approx(
        [math.cos(7 * math.pi * k / (16 * 1024)) for k in (0, 256, 512, 1023)]
    )
    assert fixmatch(1024) == pytest.approx(0.19509, abs=1e-5)
    warmed = SevenSixteenths(total_steps=110, steps_per_epoch=10, warmup="10 steps")
    assert (warmed(4), warmed(10), warmed(60)) == pytest.approx((0.5, 1.0, math.cos(7 * math.pi / 32)))


def test_steps_are_rotnets():
    rotnet = Steps(total_steps=200 * 5, steps_per_epoch=5, milestones=["60 epochs", "60%", "800 steps"], factor=0.2)
    rates = {0: 0.1, 59: 0.1, 60: 0.02, 119: 0.02, 120: 0.004, 159: 0.004, 160: 0.0008, 199: 0.0008}
    for epoch, rate in rates.items():  # its LUT_lr
        assert 0.1 * rotnet(epoch * 5) == pytest.approx(rate), epoch
    with pytest.raises(UserError, match="'soon' is not a duration"):
        Steps(100, 10, milestones=["soon"], factor=0.1)


def test_effective_lr():
    assert effective_lr(0.3, "linear", 512) == pytest.approx(0.6)
    assert effective_lr(0.3, "sqrt", 1024) == pytest.approx(0.6)
    assert effective_lr(0.3, "none", 1024) == 0.3
    with pytest.raises(UserError, match="did you mean 'linear'"):
        effective_lr(0.3, "liner", 512)


def test_the_module_is_free_of_torch():
    code = "import sys, ssl_cli.optim.schedule; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", ["constant", "cosine", "step", "seven_sixteenths"])
def test_every_schedule_takes_every_form_of_a_warm_up(name):
    for warmup in ("2%", "5 epochs", "0"):
        config = composed("train", [f"schedule={name}", f"schedule.warmup={warmup}"])
        check(config, composed("train", [f"schedule={name}"]), "train")
