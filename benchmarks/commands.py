"""How long the commands take that one types many times a day, on runs that stand."""

import json
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.harness import Variant, environment, median, take_turns

PLACE = Path("outputs/benchmarks/commands")
SETTINGS, SEEDS = 15, 3  # runs that are compared
COMPARE, REPORT, PROBE, TORCH = "ssl compare, 45 runs", "ssl report", "ssl probe on kept features", "import torch"
LIMITS = {COMPARE: 2.0, REPORT: 6.0, PROBE: 1.0}  # seconds: wall; of the processor; beyond import torch


def measure(options) -> dict:
    """Measure the row; see `benchmarks.__main__`."""
    run, sweep = made(options.threads)
    words = {
        TORCH: [sys.executable, "-c", "import torch"],
        COMPARE: [sys.executable, "-m", "ssl_cli", "compare", str(sweep)],
        PROBE: [sys.executable, "-m", "ssl_cli", "probe", f"ckpt={run}", "probe=linear"],
        REPORT: [sys.executable, "-m", "ssl_cli", "report", str(run)],
    }
    variants = {name: Variant("benchmarks.startup:command", {"words": its, "status": 0}) for name, its in words.items()}
    rounds = take_turns(variants, options.rounds, options.threads)
    torch = [row["seconds"] for row in rounds[TORCH]]
    shares = {
        f"{COMPARE} / {LIMITS[COMPARE]:g} s": [row["seconds"] / LIMITS[COMPARE] for row in rounds[COMPARE]],
        f"{PROBE} / (import torch + {LIMITS[PROBE]:g} s)": [
            row["seconds"] / (base + LIMITS[PROBE]) for row, base in zip(rounds[PROBE], torch, strict=True)
        ],
        f"{REPORT} / {LIMITS[REPORT]:g} s of the processor": [
            row["processor"] / LIMITS[REPORT] for row in rounds[REPORT]
        ],
    }
    ratios = [
        {
            **{"label": f"{name} (at most)", "target": 1.0, "at_most": True, "ratio": statistics.median(values)},
            **{"low": min(values), "high": max(values), "rounds": len(values)},
        }
        for name, values in shares.items()
    ]
    table = [
        [name, f"{median(rows, 'seconds'):.2f}", f"{median(rows, 'processor'):.2f}"] for name, rows in rounds.items()
    ]
    notes = [
        "The run is `ssl train method=simclr` on the digits. The 45 runs are copies of it with other temperatures and "
        "seeds: what is read and computed is as much as of runs that differ."
    ]
    return {"ratios": ratios, "table": [["", "seconds", "processor seconds"], *table], "notes": notes}


def made(threads: int) -> tuple[Path, Path]:
    """Return a run on the digits, trained once, and a directory with copies of it with other temperatures and seeds."""
    run, sweep = (PLACE / "run").resolve(), (PLACE / "sweep").resolve()
    if not (run / "summary.json").exists():
        command = [sys.executable, "-m", "ssl_cli", "train", "method=simclr", f"trainer.threads={threads}"]
        subprocess.run([*command, f"hydra.run.dir={run}"], check=True, env=environment(), capture_output=True)
    for number in range(0 if sweep.exists() else SETTINGS * SEEDS):
        copy, setting, seed = sweep / str(number), number // SEEDS, number % SEEDS
        shutil.copytree(run, copy, ignore=shutil.ignore_patterns("checkpoints", "features", "report", "probes"))
        config = (copy / "config.yaml").read_text()
        for key, value in (("seed", str(seed)), ("  temperature", f"0.{setting + 10}")):
            config = re.sub(rf"^{key}: .*$", f"{key}: {value}", config, flags=re.MULTILINE)
        (copy / "config.yaml").write_text(config)
        summary = {**json.loads((copy / "summary.json").read_text()), "seed": seed}
        (copy / "summary.json").write_text(json.dumps(summary))
    return run, sweep
