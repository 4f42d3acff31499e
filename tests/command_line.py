"""The command line as a user runs it: the fixture `ssl`."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from warm import ALL, LIGHT, Warm

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
