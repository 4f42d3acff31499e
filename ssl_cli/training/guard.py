"""NaN and infinity checks: a bad loss or gradient is found before it is saved. Loss spikes are found, too."""

import contextlib
import math
import statistics
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ssl_cli.distributed.collectives import max_over_ranks
from ssl_cli.errors import RunError, UserError

GIVE_UP = 10  # the largest number of skipped steps in a row, and of rollbacks in a run
HISTORY, DEVIATIONS = 50, 8  # a spike is so many deviations above the median of so many logged losses
CAUSES = (
    "likely causes: optimizer.lr too high, schedule.warmup too short; try a third of the learning rate, "
    "trainer.clip_grad=1 or trainer.precision=fp32 (or go on without such steps: trainer.on_nan=skip or rollback)"
)


class Guard:
    """Check the loss and the gradient norm of every step.

    The look leaves its finding on the device, so that a GPU is not waited for; `finding` reads it, at the steps that
    are logged, which come before every save and evaluation. ``skip`` has to know before the weights change, so it waits
    at every step, and keeps the buffers (statistics of norms, queues) that a forward pass has already changed.

    Args:
        method: whose gradients are looked at.
        skip: whether a bad step is left out.
        clip: largest gradient norm; None: no clipping.
        device: of the method.
        each: clip each tensor's gradient by itself, as DINO's code does, not all together.
    """

    def __init__(self, method: nn.Module, skip: bool, clip: float | None, device: torch.device, each: bool = False):
        self.method, self.skip, self.clip, self.each = method, skip, clip, each
        self.nothing = torch.zeros(3, device=device)  # [steps since the last reading, loss, gradient norm] of the first
        self.first, self.since = self.nothing, 0
        self.buffers: dict[str, Tensor] = {}
        self.in_a_row = 0
        self.losses: deque[float] = deque(maxlen=HISTORY)

    def before_step(self) -> None:
        """Copy the buffers: a forward pass changes them, a skipped step must not."""
        if self.skip:
            self.buffers = {name: buffer.clone() for name, buffer in self.method.named_buffers()}

    def accepts(self, loss: Tensor) -> bool:
        """Look at a step's loss and gradients, clip them, and return whether the step may be taken."""
        gradients = [p.grad for p in self.method.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.clip and self.each:
            factors = self.clip / (torch.stack(torch._foreach_norm(gradients)) + 1e-6)
            torch._foreach_mul_(gradients, list(factors.clamp(max=1.0).unbind()))
        elif self.clip:
            torch.nn.utils.clip_grads_with_norm_(self.method.parameters(), self.clip, norm)
        self.since += 1
        looked = torch.stack([torch.full_like(norm, self.since), loss.detach().to(norm.dtype), norm]).float()
        bad = ~looked.isfinite().all()
        self.first = torch.where(bad & (self.first[0] == 0), looked, self.first)
        if not self.skip:
            return True
        if not max_over_ranks(int(bad)):  # on all ranks alike
            self.in_a_row = 0
            return True
        with torch.no_grad():
            for name, buffer in self.method.named_buffers():
                buffer.copy_(self.buffers[name])
        self.in_a_row += 1
        return False

    def left_out(self, done: Any, last_good: Callable[[], str]) -> str:
        """Count a skipped step, and return a line that says why.

        Raises:
            RunError: too many in a row were.
        """
        done.skipped += 1
        step, what = self.finding(done.step)
        if self.in_a_row == GIVE_UP:
            raise self.error(step, f"{GIVE_UP} steps in a row were left out, and again {what}", last_good())
        return f"{what} at step {step}: the step is left out"

    def error(self, step: int, what: str, last_good: str) -> RunError:
        """Return the error that ends a run."""
        return RunError(f"{what} at step {step}; {last_good}; {CAUSES}")

    @contextlib.contextmanager
    def explaining(self, done: Any, last_good: Callable[[], str]) -> Iterator[None]:
        """If something inside fails because of NaN or infinity (a draw by NaN weights), name that as the cause.

        Other ranks need not have failed, so nothing is asked of them here.
        """
        try:
            yield
        except (UserError, RunError):
            raise
        except Exception as error:
            if bad := self._own(done.step):
                raise self.error(*bad, last_good()) from error
            raise

    def finding(self, step: int) -> tuple[int, str] | None:
        """Return the step of the first bad number since the last reading, and what it was; None if there was none.

        Args:
            step: the steps done.
        """
        own = self._own(step)
        first = max_over_ranks(own[0] if own else 0)
        self.first, self.since = self.nothing, 0
        return own or ((first, "another process met a loss that is no number") if first else None)

    def _own(self, step: int) -> tuple[int, str] | None:
        since, loss, norm = self.first.tolist()
        if not since:
            return None
        what = f"the loss became {loss}" if not math.isfinite(loss) else f"the gradient's norm became {norm}"
        return step - self.since + int(since), what

    def spike(self, loss: float) -> bool:
        """Return whether a logged loss is far above those before it."""
        before = sorted(self.losses)
        self.losses.append(loss)
        if len(before) < HISTORY // 2:
            return False
        median = statistics.median(before)
        spread = statistics.median(abs(value - median) for value in before)
        return loss > median + DEVIATIONS * max(1.4826 * spread, 0.02 * abs(median), 1e-6)
