"""Shared by all tests: the command line as a user runs it, and small experiments without it."""

import json
import os
import signal
from pathlib import Path

import pytest
from command_line import SERVERS, CommandLine

if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # they and what they start share the cores; before torch
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where pytest is a background job of a shell


@pytest.fixture(scope="session", autouse=True)
def close_servers():
    yield
    while SERVERS:
        SERVERS.popitem()[1].close()


@pytest.fixture
def ssl(tmp_path, tmp_path_factory):
    return CommandLine(tmp_path, tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A short SimCLR run on the digits: its directory, and the outcome of the command."""
    cwd = tmp_path_factory.mktemp("trained")
    run = CommandLine(cwd, tmp_path_factory.mktemp("scratch"))
    outcome = run("train", "method=simclr", "trainer.epochs=2", "probes.linear.draws=2", "hydra.run.dir=run")
    assert outcome.status == 0, outcome.err
    return cwd / "run", outcome


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
