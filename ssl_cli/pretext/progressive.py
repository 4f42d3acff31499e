"""Fewer pixels first: the size of the views in each step.

Small views cost little, and the network keeps what it learns from them (Touvron et al. 2019, arXiv:1906.06423; Tan and
Le 2021, arXiv:2104.00298, section 4).
"""

import re
from collections.abc import Sequence
from typing import Any

import torch

from ssl_cli.backbones.base import Backbone, evaluating
from ssl_cli.errors import UserError
from ssl_cli.optim.schedule import parse_duration

KEY = "trainer.progressive"
WRITTEN = "write '20 until 50%' (pixels, and when that ends: '50%' of the training, '5 epochs' or '500 steps')"
_STAGE = re.compile(r"(\d+)\s+until\s+(.+)")


class ViewSizes:
    """``sizes(step)`` is the side, in pixels, of the views of step 0, 1, ...

    Args:
        stages: ``SIZE until DURATION``, each ending later than the one before; durations count from the beginning, as
            `parse_duration` reads them. Afterwards views have their full size.
        full: the full size; None: views have none.
        steps_per_epoch: optimizer steps in an epoch.
        total_steps: optimizer steps of the whole training.

    Raises:
        UserError: a stage cannot be read, is larger than the full size, or ends before the one before it.
    """

    def __init__(self, stages: Sequence[str], full: int | None, steps_per_epoch: int, total_steps: int):
        if stages and full is None:
            raise UserError(f"{KEY} is for images; write {KEY}=null")
        self.full = full
        self.stages: list[tuple[int, int]] = []  # the first step after it, its size
        for text in stages:
            match = _STAGE.fullmatch(str(text).strip())
            if match is None:
                raise UserError(f"{KEY}: '{text}' is not a stage; {WRITTEN}")
            size, end = int(match[1]), parse_duration(match[2], steps_per_epoch, total_steps)
            if not 0 < size <= full:
                raise UserError(f"{KEY}: '{text}' asks for {size} pixels, and views have {full} at the end")
            if self.stages and end < self.stages[-1][0]:
                raise UserError(f"{KEY}: '{text}' ends before the stage before it; write them in order")
            self.stages.append((end, size))

    def __call__(self, step: int) -> int | None:
        """Return the side of the views of a step; None if they have none."""
        return next((size for end, size in self.stages if step < end), self.full)

    def __str__(self) -> str:
        """Return each size and the step at which it ends: ``20 until step 390, then 32 pixels``."""
        return ", ".join([*(f"{size} until step {end:,}" for end, size in self.stages), f"then {self.full} pixels"])

    def check(self, backbone: Backbone, *parts: Any) -> None:
        """Raise ``UserError`` if a pretext or method takes one size only, or a stage does not suit the backbone."""
        for part in parts if self.stages else ():
            if not part.resizes:
                raise UserError(f"{KEY}: {type(part).__name__} takes inputs of one size; write {KEY}=null")
        like = backbone.example().shape[:-2] if self.stages else ()
        for size in sorted({size for _, size in self.stages}):
            if size < backbone.min_size:
                raise UserError(
                    f"{KEY}: a stage has {size} pixels, and this backbone needs at least {backbone.min_size}"
                )
            with evaluating(backbone), torch.inference_mode():  # it raises for other sizes that it cannot take
                backbone(next(backbone.parameters()).new_zeros(*like, size, size))
