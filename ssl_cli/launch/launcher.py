"""The base of launchers: this process composes and checks the jobs, another process runs each of them."""

import json
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ssl_cli.errors import RunError, UserError, one_line
from ssl_cli.runs.job import Job


class Launcher(ABC):
    """Does jobs somewhere else. A job that is started again goes on where it was, see `ssl_cli.commands.train`."""

    @abstractmethod
    def launch(self, jobs: Sequence[Job]) -> list[int]:
        """Do the jobs; return the exit status of each."""


def require(name: str, extra: str):  # noqa: ANN201 (a module)
    """Import what an extra installs, or say how to install it."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"launcher={extra} needs {name}, which is not installed: pip install 'ssl-cli[{extra}]'"
        ) from error


def start(job: Job, env: Mapping[str, str] | None = None) -> subprocess.Popen:
    """Start a process that does a job; what it prints goes to ``TARGET.log``, beside the run's directory."""
    target = Path(job.target)
    target.parent.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join(filter(None, sys.path))
    with target.with_name(f"{target.name}.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "from ssl_cli.launch.launcher import work; work()"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": path, **(env or {})},
            start_new_session=True,  # a signal is for the one who started it, who hands it on
            text=True,
        )
    process.stdin.write(json.dumps({"job": asdict(job), "argv": sys.argv}))
    process.stdin.close()
    return process


def work() -> None:
    """Run the job that comes as JSON on standard input."""
    order = json.loads(sys.stdin.read())
    sys.argv = order["argv"]
    sys.exit(do(Job(**order["job"])))


def do(job: Job) -> int:
    """Do a job in this process; print an error as the command line does, and record it for the sweep's table."""
    from ssl_cli.launch import start
    from ssl_cli.runs.directory import record_failure

    try:
        return start.run(job)
    except (UserError, RunError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr, flush=True)
        record_failure(Path(job.target), str(error), job.overrides)
        return 2 if isinstance(error, UserError) else 1
    except KeyboardInterrupt:
        return 130


def name_of(job: Job) -> str:
    """Return the name of a job on the screen."""
    return f"{Path(job.target).name}"


def outcome(status: int) -> str:
    """Return what an exit status means."""
    if status == 0:
        return "finished"
    if status < 0:
        return f"was killed by signal {-status} ({signal.Signals(-status).name})"
    return "was interrupted" if status in (124, 130, 138, 143) else f"failed with exit status {status}"
