import math
import subprocess
import sys

import pytest

from ssl_cli.errors import UserError
from ssl_cli.optim.schedule import Constant, Cosine, effective_lr, parse_duration, warmup_cosine


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


def test_effective_lr():
    assert effective_lr(0.3, "linear", 512) == pytest.approx(0.6)
    assert effective_lr(0.3, "sqrt", 1024) == pytest.approx(0.6)
    assert effective_lr(0.3, "none", 1024) == 0.3
    with pytest.raises(UserError, match="did you mean 'linear'"):
        effective_lr(0.3, "liner", 512)


def test_the_module_is_free_of_torch():
    code = "import sys, ssl_cli.optim.schedule; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
