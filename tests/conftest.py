"""Shared by all tests: the command line as a user runs it, and small experiments without it."""

import gc
import json
import os
import shutil
import signal
import tempfile
from pathlib import Path

import composition  # noqa: F401
import pytest
import warm
from command_line import CommandLine, Outcome, light
from filelock import FileLock


def threads(workers: str) -> str:
    """Return how many threads each of the workers, and of what it starts, may have."""
    return os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))


if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # before torch
    os.environ["OMP_NUM_THREADS"] = threads(workers)

if "PYTEST_XDIST_WORKER" not in os.environ:  # what earlier commands of yours have kept is not looked at, nor added to
    os.environ.setdefault(
        "MPLCONFIGDIR", str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "matplotlib")
    )
    kept = tempfile.TemporaryDirectory(prefix="ssl-tests-cache-")
    os.environ["XDG_CACHE_HOME"] = kept.name

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where pytest is a background job of a shell


def pytest_xdist_auto_num_workers() -> int:
    """Return how many workers `-n auto` means: a third of the time one waits for a disk or for another process."""
    return len(os.sched_getaffinity(0)) * 3 // 2 if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pytest_configure_node(node) -> None:
    """Start one process that all workers fork commands from, while they collect."""
    warm.ensure_running(OMP_NUM_THREADS=threads(node.workerinput["workercount"]))
    node.workerinput["shared"] = warm.shared()


def pytest_configure(config) -> None:
    if workerinput := getattr(config, "workerinput", None):
        warm.share(workerinput["shared"])


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Spare the collector of garbage all that is imported, now and in each later round: it stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items) -> None:
    """Begin with what takes longest: at the end the other workers would wait for it."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session", autouse=True)
def close_light():
    yield
    if light.cache_info().currsize:
        light().close()


@pytest.fixture
def ssl(tmp_path, tmp_path_factory):
    return CommandLine(tmp_path, tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Return a directory that one worker fills and all others read."""

    def get(name: str, make) -> Path:
        root = tmp_path_factory.getbasetemp()
        root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
        path = root / "made_once" / name
        path.parent.mkdir(exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not Path(f"{path}.done").exists():
                path.mkdir()  # it is there if another has failed: once is enough
                make(path)
                Path(f"{path}.done").touch()
        return path

    return get


@pytest.fixture(scope="session")
def trained(made_once, tmp_path_factory):
    """A short SimCLR run on the digits: its directory, which is this worker's own, and the outcome of the command."""

    def make(cwd: Path) -> None:
        run = CommandLine(cwd, tmp_path_factory.mktemp("scratch"))
        quick = ["trainer.epochs=2", "backbone.widths=[8,16,32]", "probes.propagate.draws=2"]
        quick += ["probes.linear.draws=2", "probes.linear.penalties=[0.01]"]
        outcome = run("train", "method=simclr", *quick, "hydra.run.dir=run")
        assert outcome.status == 0, outcome.err
        (cwd / "outcome.json").write_text(json.dumps([outcome.status, outcome.out, outcome.err]))

    made, own = made_once("trained", make), tmp_path_factory.mktemp("trained")
    shutil.copytree(made, own, dirs_exist_ok=True)
    return own / "run", Outcome(*json.loads((own / "outcome.json").read_text()))


@pytest.fixture
def summary():
    return lambda run: json.loads((Path(run) / "summary.json").read_text())


@pytest.fixture
def image_folder(tmp_path):
    """Twelve images in each of three class folders, in several formats and sizes."""
    import numpy as np
    from PIL import Image

    root = tmp_path / "images"
    random = np.random.default_rng(0)
    for label, name in enumerate(("ant", "bee", "fly")):
        (root / name).mkdir(parents=True)
        for i in range(12):
            pixels = random.integers(0, 80, (20 + i, 24, 3), dtype=np.uint8)
            pixels[..., label] += 150
            Image.fromarray(pixels).save(root / name / f"{i}.{'png' if i % 2 else 'jpg'}")
    return root


@pytest.fixture
def sweep(tmp_path):
    """Two methods and three seeds: one far better than the pixels, one a little."""
    from written_runs import put

    for seed in range(3):
        put(tmp_path / f"sweep/{seed}-a", "byol", seed, 0.95 + 0.005 * seed)
        put(tmp_path / f"sweep/{10 + seed}-b", "simclr", seed, 0.805 + 0.005 * seed)
    return tmp_path / "sweep"
