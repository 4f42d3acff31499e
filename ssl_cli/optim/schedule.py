"""Learning rates over time, and the durations that people write. Free of torch, so that a plan is cheap to make."""

import math
import re
from collections.abc import Sequence

from ssl_cli.errors import UserError, did_you_mean

REFERENCE_BATCH = 256  # inputs per step at which `lr` is quoted (Goyal et al. 2017, arXiv:1706.02677)
_SCALES = {"linear": lambda ratio: ratio, "sqrt": math.sqrt, "none": lambda ratio: 1.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(%|epochs?|steps?)")


def effective_lr(lr: float, scale: str, batch_size: int) -> float:
    """Return the learning rate for a global batch of ``batch_size`` inputs, from ``lr`` quoted for 256.

    Args:
        lr: learning rate at 256 inputs per step; > 0.
        scale: ``linear`` is lr B/256; ``sqrt`` is lr sqrt(B/256), kinder to small batches (SimCLR, appendix B.1);
            ``none`` is lr as it stands.
        batch_size: inputs per optimizer step, over all processes.

    Raises:
        UserError: ``scale`` is none of the three.
    """
    if scale not in _SCALES:
        raise UserError(
            f"optimizer.scale={scale} is unknown{did_you_mean(str(scale), _SCALES)} (write linear, sqrt or none)"
        )
    return lr * _SCALES[scale](batch_size / REFERENCE_BATCH)


def parse_duration(text: str | int, steps_per_epoch: int, total_steps: int) -> int:
    """Return a duration in optimizer steps.

    Args:
        text: ``10%`` of the training, ``5 epochs`` (fractions too), ``500 steps``, or ``0``.
        steps_per_epoch: optimizer steps in an epoch.
        total_steps: optimizer steps of the whole training.

    Raises:
        UserError: ``text`` has none of these forms.
    """
    text = str(text).strip()
    if text == "0":
        return 0
    match = _DURATION.fullmatch(text)
    number, unit = (float(match[1]), match[2].rstrip("s")) if match else (0.0, "")
    if unit == "epoch":
        return round(number * steps_per_epoch)
    if unit == "step" and number.is_integer():
        return int(number)
    if unit == "%" and number <= 100:
        return round(number / 100 * total_steps)
    raise UserError(
        f"'{text}' is not a duration; write '10%' (of the training), '5 epochs' or '500 steps' (0 for none)"
    )


def warmup_cosine(step: int, total_steps: int, warmup_steps: int, final: float = 0.0) -> float:
    """Return the factor, in [0, 1], on the learning rate of step ``step`` = 0, 1, ..., ``total_steps`` - 1.

    It rises linearly to 1 over the warm-up (step 0 already learns), then falls on a half cosine (Loshchilov and Hutter
    2017, arXiv:1608.03983) to ``final`` at the last step.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - 1 - warmup_steps))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


class Schedule:
    """Linear warm-up, then whatever a subclass makes of it; ``schedule(step)`` is the factor on the learning rate.

    Args:
        total_steps: optimizer steps of the whole training.
        steps_per_epoch: optimizer steps in an epoch.
        warmup: duration of the warm-up, as `parse_duration` reads it.
        start: factor at the first step of the warm-up, in [0, 1]; it is 1 at the last. None: one over its steps, so
            that the first step learns.

    Raises:
        UserError: the warm-up cannot be read, or is longer than the training; ``start`` is no number.
    """

    def __init__(self, total_steps: int, steps_per_epoch: int, warmup: str = "0", start: float | None = None):
        self.total_steps = total_steps
        self.warmup_steps = parse_duration(warmup, steps_per_epoch, total_steps)
        if self.warmup_steps > total_steps:
            raise UserError(
                f"schedule.warmup={warmup} is {self.warmup_steps} steps, more than the {total_steps} of the whole "
                "training; write a share of it (schedule.warmup=10%)"
            )
        if start is not None and not isinstance(start, (int, float)):
            raise UserError(f"schedule.start={start} is not a number; write null to rise from one step's share")
        self.start = start

    def __call__(self, step: int) -> float:
        """Return the factor of step ``step`` = 0, 1, ..., ``total_steps`` - 1."""
        if step >= self.warmup_steps:
            return self.after_warmup(step)
        if self.start is None or self.warmup_steps == 1:
            return (step + 1) / self.warmup_steps
        return self.start + (1 - self.start) * step / (self.warmup_steps - 1)

    def after_warmup(self, step: int) -> float:
        """Return the factor of a step after the warm-up; here 1."""
        return 1.0


class Constant(Schedule):
    """A constant learning rate after the warm-up."""


class Cosine(Schedule):
    """Half a cosine down to ``final``, in [0, 1], at the last step."""

    def __init__(
        self,
        total_steps: int,
        steps_per_epoch: int,
        warmup: str = "10%",
        final: float = 0.0,
        start: float | None = None,
    ):
        super().__init__(total_steps, steps_per_epoch, warmup, start)
        self.final = final

    def after_warmup(self, step: int) -> float:
        """Return the factor on the cosine."""
        return warmup_cosine(step, self.total_steps, self.warmup_steps, self.final)


class SevenSixteenths(Schedule):
    """``cos(7 pi k / 16 K)`` at step k of K after the warm-up: down to about a fifth (FixMatch, arXiv:2001.07685)."""

    def after_warmup(self, step: int) -> float:
        """Return the factor on the part of the cosine."""
        steps = max(1, self.total_steps - self.warmup_steps)
        return math.cos(7 * math.pi / 16 * min(1.0, (step - self.warmup_steps) / steps))


class Steps(Schedule):
    """The rate is multiplied by ``factor`` at each of the milestones.

    Args:
        total_steps: optimizer steps of the whole training.
        steps_per_epoch: optimizer steps in an epoch.
        milestones: times since the beginning, as `parse_duration` reads them.
        factor: > 0.
        warmup: see `Schedule`.
        start: see `Schedule`.

    Raises:
        UserError: a milestone cannot be read.
    """

    def __init__(
        self,
        total_steps: int,
        steps_per_epoch: int,
        milestones: Sequence[str],
        factor: float,
        warmup: str = "0",
        start: float | None = None,
    ):
        super().__init__(total_steps, steps_per_epoch, warmup, start)
        self.milestones = [parse_duration(text, steps_per_epoch, total_steps) for text in milestones]
        self.factor = factor

    def after_warmup(self, step: int) -> float:
        """Return the factor between the milestones."""
        return self.factor ** sum(step >= milestone for milestone in self.milestones)
