"""Variants of one task, each in a process of its own, taking turns on a machine whose pace may change."""

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Variant:
    """``module:function`` of this package; the function prepares and warms up, and returns what measures once."""

    target: str
    options: dict[str, Any] = field(default_factory=dict)
    python: str = sys.executable


def environment(threads: int | None = None) -> dict[str, str]:
    """Return the variables of a process that imports this code wherever it runs, with so many threads."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}


class Worker:
    """A process that measures when it is told to, and sleeps while others do."""

    def __init__(self, variant: Variant, threads: int):
        command = [variant.python, "-m", "benchmarks.worker", variant.target, json.dumps(variant.options)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment(threads), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read()

    def measure(self) -> dict[str, float]:
        """Let it measure once."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, float]:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a variant ended with status {self.process.wait()}: {self.process.args}")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def _workers(variants: Mapping[str, Variant], threads: int) -> Iterator[dict[str, Worker]]:
    started: dict[str, Worker] = {}
    try:
        for name, variant in variants.items():  # one after another: a warm-up should not disturb another
            started[name] = Worker(variant, threads)
        yield started
    finally:
        for worker in started.values():
            worker.close()


def take_turns(variants: Mapping[str, Variant], rounds: int, threads: int) -> dict[str, list[dict[str, float]]]:
    """Measure every variant once a round, in alternating order; return the rounds of each."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
    with _workers(variants, threads) as workers:
        for number in range(rounds):
            for name in list(workers)[:: 1 if number % 2 == 0 else -1]:
                results[name].append(workers[name].measure())
    return results


def median(rounds: list[dict[str, float]], key: str) -> float:
    """Return the median of one value over the rounds."""
    return statistics.median(row[key] for row in rounds)


def ratio(ours: list[dict[str, float]], theirs: list[dict[str, float]], key: str) -> dict[str, float]:
    """Return how many times larger ``theirs`` is than ``ours``: median of the rounds' ratios, and their range."""
    values = sorted(b[key] / a[key] for a, b in zip(ours, theirs, strict=True))
    return {"ratio": statistics.median(values), "low": values[0], "high": values[-1], "rounds": len(values)}


def compose_run(*overrides: str) -> Any:
    """Return the config that ``ssl train`` would have with these overrides."""
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    from ssl_cli.config.jobs import slug
    from ssl_cli.config.paths import conf_dir
    from ssl_cli.config.schema import SCHEMAS

    OmegaConf.register_new_resolver("slug", slug, replace=True)
    ConfigStore.instance().store(name="_train_schema", node=SCHEMAS["train"])
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("train", ["name=benchmark", *overrides])


def family_memory() -> float:
    """Return the MiB of this process and its children: its own peak, and what each child holds for itself now."""
    from ssl_cli.system.memory import peak_memory

    total = peak_memory()
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            with contextlib.suppress(OSError, StopIteration):
                rollup = Path(f"/proc/{child}/smaps_rollup").read_text().splitlines()
                total += 1024 * int(next(line for line in rollup if line.startswith("Pss:")).split()[1])
    return total / 2**20


def machine(threads: int) -> dict[str, Any]:
    """Return what a figure cannot be read without."""
    import torch

    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": threads,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bf16": bool(torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16")),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 1),
    }
