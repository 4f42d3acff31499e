"""Runs that are small enough to be killed by the hundred, and what can happen to them."""

import contextlib
import importlib
import json
import os
import random
import signal
import time
from pathlib import Path

import torch
from experiments import tensors
from omegaconf import DictConfig, OmegaConf

from ssl_cli.runs import checkpoint

# A run of 24 steps that takes about a second.
SMALL = [
    *("dataset=shapes", "dataset.num_images=200", "dataset.storage_size=16", "dataset.channels=1"),
    *(
        "trainer.batch_size=32",
        "trainer.epochs=6",
        "trainer.threads=1",
        "trainer.precision=fp32",
        "trainer.log_every=1",
    ),
    "trainer.eval_every=3",
]
TINY = ["backbone.widths=[4,8]"]
VIT = ["backbone.dim=16", "backbone.depth=1", "backbone.heads=2"]
# One of each family, with whatever keeps it small.
FAMILIES = {
    "simclr": TINY,
    "moco": [*TINY, "method.queue_size=64"],
    "byol": TINY,
    "vicreg": TINY,
    "dino": [*TINY, "method.prototypes=64"],
    "swav": [*TINY, "method.prototypes=16"],
    "deepcluster": [*TINY, "method.clusters=8"],
    "fixmatch": [*TINY, "dataset.labels=4/class"],
    "mae": VIT,
    "ebm": ["backbone.widths=[4,8]"],
}


def work(
    path: Path, config: dict, kill: tuple[str, int] | None = None, count: Path | None = None, behind: bool = False
) -> None:
    """Train in ``path`` as ``ssl train`` and ``resume=`` do.

    Args:
        path: the run directory.
        config: plain values.
        kill: die at the n-th call of a kind.
        count: where to leave how often each kind was called.
        behind: save as large models do, on a thread beside training.
    """
    from ssl_cli.runs.directory import RunDir
    from ssl_cli.runs.lock import RunLock
    from ssl_cli.setup.prepare import prepare
    from ssl_cli.system.signals import StopRequest
    from ssl_cli.training import saver
    from ssl_cli.training.loop import fit

    torch.set_num_threads(1)
    config: DictConfig = OmegaConf.create(config)
    calls = watch_writes(kill)
    saver.LARGE = 0 if behind else saver.LARGE
    with (path.parent / f"{path.name}.log").open("a") as log, contextlib.redirect_stdout(log):
        experiment = prepare(config)
        run = RunDir(path) if (path / "config.yaml").exists() else RunDir.create(path, config, chosen_by_user=True)
        with RunLock(path):
            run.clean()
            saved = any(run.checkpoint_file().parent.glob("*.pt"))
            fit(experiment, run, checkpoint.newest_sound(path / "checkpoints")[1] if saved else None, StopRequest())
    if count:
        count.write_text(repr(calls))


def watch_writes(kill: tuple[str, int] | None) -> dict[str, int]:
    """Count the calls by which files are written, and end this process by SIGKILL before one of them."""
    calls: dict[str, int] = {}

    def counted(owner, name):
        real = getattr(owner, name)

        def call(*args, **kwargs):
            calls[name] = calls.get(name, 0) + 1
            if kill == (name, calls[name]):
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        setattr(owner, name, call)

    counted(os, "fsync")
    counted(os, "link")
    counted(Path, "replace")
    counted(Path, "unlink")
    counted(checkpoint._HashingWriter, "write")
    return calls


def hold(module: str, name: str, number: int, directory: str, seconds: float) -> None:
    """Let a call of a function leave word (``directory``/here) and take long."""
    owner = importlib.import_module(module)
    real, calls = getattr(owner, name), []

    def held(*args, **kwargs):
        calls.append(1)
        if len(calls) == number:
            Path(directory, "here").touch()
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                time.sleep(0.01)
        return real(*args, **kwargs)

    setattr(owner, name, held)


def arguments(method: str) -> list[str]:
    """Return the command of a run of a family in ``run``, without the slow ones of the probes."""
    quick = ["~probes.linear", "~probes.propagate", "hydra.run.dir=run"]
    return ["train", f"method={method}", *SMALL, *FAMILIES[method], *quick]


def ends(run: Path) -> tuple[dict[str, torch.Tensor], list[tuple]]:
    """Return all tensors of a run's last checkpoint, and its metrics: all that must be equal of two equal runs."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    state = tensors(checkpoint.load(run / "checkpoints/last.pt"))
    return state, [(row["step"], row.get("loss"), row.get("val_knn")) for row in rows]


def assert_same_end(run: Path, expected: tuple[dict[str, torch.Tensor], list[tuple]]) -> None:
    state, rows = ends(run)
    assert state.keys() == expected[0].keys()
    assert [key for key, value in expected[0].items() if not torch.equal(value, state[key])] == []
    assert rows == expected[1], "rows are doubled, missing or others"


def generator(*key) -> random.Random:
    return random.Random(repr(key))
