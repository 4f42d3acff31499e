"""How long one waits before anything happens."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import ROOT, Variant, environment, median, ratio, take_turns

SSL = [sys.executable, "-m", "ssl_cli"]
TARGETS = {"ssl --help": 0.1, "a typo's error": 0.4, "first training step on digits": 1.5}


def measure(options) -> dict:
    """Measure the row; see `benchmarks.__main__`."""
    here = "benchmarks.startup"
    variants = {
        "import torch": Variant(f"{here}:command", {"words": [sys.executable, "-c", "import torch"], "status": 0}),
        "ssl --help": Variant(f"{here}:command", {"words": [*SSL, "--help"], "status": 0}),
        "a typo's error": Variant(f"{here}:command", {"words": [*SSL, "train", "methd=simclr"], "status": 2}),
        "first training step on digits": Variant(f"{here}:first_step"),
    }
    rounds = take_turns(variants, options.rounds, options.threads)
    ratios = [
        {
            "label": f"{name} / import torch (at most)",
            **ratio(rounds["import torch"], rounds[name], "seconds"),
            "target": target,
            "at_most": True,
        }
        for name, target in TARGETS.items()
    ]
    table = [[name, f"{median(rows, 'seconds'):.2f}"] for name, rows in rounds.items()]
    return {"ratios": ratios, "table": [["", "seconds"], *table], "notes": ["The first step's own time is taken off."]}


def command(words: list[str], status: int):
    """Return a command from its start to its end; its first time, which may fill caches, does not count."""

    def once() -> dict[str, float]:
        began, used = time.perf_counter(), _processor_seconds()
        done = subprocess.run(words, cwd=ROOT, capture_output=True)
        assert done.returncode == status, done.stderr
        return {"seconds": time.perf_counter() - began, "processor": _processor_seconds() - used}

    once()
    return once


def first_step():
    """Return the time from the start of `ssl train` to its first line of metrics, less the step itself."""

    def once() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as directory:
            run = Path(directory) / "run"
            words = [*SSL, "train", "method=simclr", "trainer.log_every=1", f"hydra.run.dir={run}"]
            began = time.perf_counter()
            process = subprocess.Popen(words, cwd=directory, stdout=subprocess.DEVNULL, env=environment())
            metrics = run / "metrics.jsonl"
            while not (metrics.exists() and "\n" in metrics.read_text()):
                assert process.poll() is None, "the run ended before its first step"
                time.sleep(0.005)
            seconds = time.perf_counter() - began
            process.kill()
            process.wait()
            first = json.loads(metrics.read_text().splitlines()[0])
        return {"seconds": seconds - first["seconds"]}

    once()
    return once


def _processor_seconds() -> float:
    """Return what all children that have ended took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
