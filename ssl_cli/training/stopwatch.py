"""Where the time of training goes: a stopwatch for the parts of a step, and a trace for the usual viewers."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

TRACED = 5  # steps in the trace, after as many to warm up


def processor_seconds(function: Callable[..., Any], *arguments: Any) -> float:
    """Call a function; return the processor time that all threads of this process spent meanwhile."""
    began = time.process_time()
    function(*arguments)
    return time.process_time() - began


class Stopwatch:
    """Adds up the seconds of each part of the loop.

    Without ``exact`` the parts are what the host spends, which costs nothing to know; a GPU works on after the host has
    gone on, so ``exact`` waits for it at the end of each part.

    Args:
        device: that is waited for.
        exact: whether to wait.
        trace: file for a trace of a few steps (open it in https://ui.perfetto.dev or chrome://tracing); None: no trace.
    """

    def __init__(self, device: torch.device, exact: bool = False, trace: Path | None = None):
        self.seconds: dict[str, float] = {}
        self.device, self.exact = device, exact
        self.profiler = None
        if trace is not None:
            trace.parent.mkdir(exist_ok=True)
            activities = [torch.profiler.ProfilerActivity.CPU]
            activities += [torch.profiler.ProfilerActivity.CUDA] if device.type == "cuda" else []
            self.profiler = torch.profiler.profile(
                activities=activities,
                schedule=torch.profiler.schedule(wait=0, warmup=TRACED, active=TRACED, repeat=1),
                on_trace_ready=lambda profiler: profiler.export_chrome_trace(str(trace)),
            )
            self.profiler.start()

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time what is inside."""
        started = time.perf_counter()
        label = torch.profiler.record_function(name) if self.profiler else contextlib.nullcontext()
        with label:
            yield
            if self.exact and self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
        self.add(name, time.perf_counter() - started)

    def add(self, name: str, seconds: float) -> None:
        """Count seconds that were timed elsewhere."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def step(self) -> None:
        """Mark the end of a step in the trace."""
        if self.profiler:
            self.profiler.step()

    def stop(self) -> None:
        """Write the trace, if it has not been written."""
        if self.profiler:
            self.profiler.stop()
            self.profiler = None

    def table(self, total: float, steps: int) -> list[str]:
        """Return lines: part, seconds, share of ``total`` seconds, milliseconds a step."""
        rows = {**self.seconds, "the rest": max(0.0, total - sum(self.seconds.values()))}
        lines = [f"{'part':<14}{'seconds':>9}{'share':>8}{'ms a step':>11}"]
        for name, seconds in rows.items():
            lines.append(f"{name:<14}{seconds:>9.2f}{seconds / total:>8.1%}{1000 * seconds / max(1, steps):>11.2f}")
        return lines
