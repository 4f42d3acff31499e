"""Shared by all tests: the command line as a user runs it, and small experiments without it."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from warm import ALL, LIGHT, Warm

if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # they and what they start share the cores; before torch
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where pytest is a background job of a shell

# Runs the command line and leaves the names of the imported modules behind.
WRAPPER = """
import os, sys
sys.path.remove("")  # as an installed script has it
from ssl_cli.cli import main
status = main(sys.argv[1:])
open(os.environ["SSL_TEST_MODULES"], "w").write("\\n".join(sys.modules))
sys.exit(status)
"""


SERVERS: dict[str, Warm] = {}  # of this worker, started when they are first wanted


@dataclass
class Outcome:
    status: int
    out: str
    err: str
    modules: set[str] | None  # imported ones; None where that says nothing


class CommandLine:
    """Runs ``ssl`` in a process of its own, in one working directory.

    By default it is forked from one that has imported everything. To look at which modules a command imports ask for
    ``process="light"`` (hydra is there, torch is not) or ``process="fresh"``.
    """

    def __init__(self, cwd: Path, scratch: Path):
        self.cwd, self.modules, self.scratch = cwd, scratch / "modules.txt", scratch
        self.env = {**os.environ, "COLUMNS": "120", "SSL_TEST_MODULES": str(self.modules)}
        self.env.pop("HYDRA_FULL_ERROR", None)

    def __call__(self, *args: str, timeout: float = 300, process: str = "forked", **env: str) -> Outcome:
        self.modules.write_text("")
        if process == "fresh" or not hasattr(os, "fork"):
            return self._fresh(args, timeout, env)
        if process not in SERVERS:
            SERVERS[process] = Warm(*(LIGHT if process == "light" else [ALL]))
        out, err = self.scratch / "out.txt", self.scratch / "err.txt"
        status = SERVERS[process](list(args), str(self.cwd), {**self.env, **env}, str(out), str(err), str(self.modules))
        modules = set(self.modules.read_text().split("\n")) if process == "light" else None
        return Outcome(status, out.read_text(), err.read_text(), modules)

    def _fresh(self, args: tuple[str, ...], timeout: float, env: dict[str, str]) -> Outcome:
        command = [sys.executable, "-c", WRAPPER, *args]
        done = subprocess.run(
            command, cwd=self.cwd, env={**self.env, **env}, capture_output=True, text=True, timeout=timeout
        )
        return Outcome(done.returncode, done.stdout, done.stderr, set(self.modules.read_text().split("\n")))

    def start(self, *args: str) -> subprocess.Popen:
        """Start it in the background, as the shell would."""
        command = [sys.executable, "-m", "ssl_cli", *args]
        return subprocess.Popen(command, cwd=self.cwd, env=self.env, stdout=subprocess.PIPE, text=True)

    def files(self) -> dict[str, int]:
        """Return every file below the working directory with its time of change."""
        return {str(p.relative_to(self.cwd)): p.stat().st_mtime_ns for p in self.cwd.rglob("*")}


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
