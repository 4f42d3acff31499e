"""The libraries that are measured beside this one, in an environment of their own that shares this one's torch."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from ssl_cli.data.images.files.cache import user_cache_dir

PLACE = user_cache_dir() / "benchmarks" / "peers"


class Missing(Exception):
    """A peer that cannot be had; the message says why."""


def python_with(package: str) -> str:
    """Return the interpreter of an environment that has ``package``, which is installed on first use.

    Raises:
        Missing: it cannot be installed, for example without a network.
    """
    python = PLACE / "bin" / "python"
    if not python.exists():
        print(f"making an environment for peers in {PLACE}", file=sys.stderr)
        _run(sys.executable, "-m", "venv", "--without-pip", str(PLACE))
        # The same torch for all: what is compared is what is built upon it.
        site = next(PLACE.glob("lib/python*/site-packages"))
        paths = [path for path in sys.path if path.endswith("site-packages")] or [sysconfig.get_paths()["purelib"]]
        (site / "shared.pth").write_text("\n".join(paths) + "\n")
    if subprocess.run([python, "-c", f"import {package}"], capture_output=True).returncode:
        print(f"installing {package} into {PLACE}", file=sys.stderr)
        _run(sys.executable, "-m", "pip", "--python", str(python), "install", "-q", package)
    return str(python)


def version_of(package: str, python: str) -> str:
    """Return the version of an installed peer."""
    code = f"import importlib.metadata as m; print(m.version('{package}'))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise Missing(f"`{' '.join(Path(part).name for part in command[:4])} ...` failed: {last}")
