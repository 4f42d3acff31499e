"""What it takes to repeat a run: versions, command, git state, machine."""

import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ssl_cli import __version__


def environment() -> dict[str, Any]:
    """Return what is needed to repeat a run: versions, command, git state, machine."""
    from importlib.metadata import version

    packages = ("torch", "torchvision", "hydra-core", "omegaconf", "numpy", "scikit-learn")
    return {
        "ssl": __version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "command": shlex.join(["ssl", *sys.argv[0].split()[1:], *sys.argv[1:]]),
        "directory": str(Path.cwd()),
        "git": _git_state(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _git_state() -> dict[str, Any] | None:
    """Commit of the code that runs, and whether it was changed since; None outside a checkout."""
    package = Path(__file__).parents[1]
    if not (package.parent / ".git").exists():
        return None
    try:
        commit, status = (
            subprocess.run(["git", "-C", package, *args], capture_output=True, text=True, timeout=10, check=True).stdout
            for args in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit.strip(), "changed": bool(status.strip())}
