"""The command line as a user runs it: the fixture `ssl`."""

import functools
import multiprocessing
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from warm import FORKS, Light, command, finish, start

# Runs the command line and leaves the names of the imported modules behind.
WRAPPER = """
import os, sys
sys.path.remove("")  # as an installed script has it
from ssl_cli.cli import main
status = main(sys.argv[1:])
open(os.environ["SSL_TEST_MODULES"], "w").write("\\n".join(sys.modules))
sys.exit(status)
"""


@dataclass
class Outcome:
    status: int
    out: str
    err: str
    modules: set[str] | None = None  # imported ones; None where that says nothing


class CommandLine:
    """Runs ``ssl`` in a process of its own, in one working directory.

    By default it is forked from one that has imported everything. To look at which modules a command imports ask for
    ``process="light"`` (hydra is there, torch is not) or ``process="fresh"``.
    """

    def __init__(self, cwd: Path, scratch: Path):
        self.cwd, self.scratch = cwd, scratch
        self.env = {**os.environ, "COLUMNS": "120"}
        self.env.pop("HYDRA_FULL_ERROR", None)

    def __call__(self, *args: str, timeout: float = 300, process: str = "forked", **env: str) -> Outcome:
        log, env = Path(tempfile.mkdtemp(dir=self.scratch)), {**self.env, **env}
        if process == "fresh" or (process == "light" and not FORKS):
            return self._fresh(args, timeout, env, log / "modules")
        if process == "light":
            status = light()(list(args), self.cwd, log, env)
            modules = set((log / "modules").read_text().split("\n"))
            return Outcome(status, (log / "out").read_text(), (log / "err").read_text(), modules)
        status = finish(command, list(args), self.cwd, log=log, env=env, timeout=timeout)
        return Outcome(status, (log / "out").read_text(), (log / "err").read_text())

    def _fresh(self, args: tuple[str, ...], timeout: float, env: dict[str, str], modules: Path) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-c", WRAPPER, *args],
            **{"cwd": self.cwd, "env": {**env, "SSL_TEST_MODULES": str(modules)}, "timeout": timeout},
            **{"capture_output": True, "text": True},
        )
        return Outcome(done.returncode, done.stdout, done.stderr, set(modules.read_text().split("\n")))

    def start(self, *args: str) -> tuple[multiprocessing.Process, Path]:
        """Start it in the background, as the shell would; its output goes to the file."""
        log = Path(tempfile.mkdtemp(dir=self.scratch))
        return start(command, list(args), self.cwd, log=log, env=self.env), log / "out"

    def files(self) -> dict[str, int]:
        """Return every file below the working directory with its time of change."""
        return {str(p.relative_to(self.cwd)): p.stat().st_mtime_ns for p in self.cwd.rglob("*")}


@functools.cache
def light() -> Light:
    """Return this worker's process without torch, which is started when it is first wanted."""
    return Light()
