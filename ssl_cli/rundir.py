"""The run directory: what a run leaves behind, and how it is found and read again."""

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ssl_cli import __version__
from ssl_cli.atomic import replace, write_json
from ssl_cli.errors import UserError
from ssl_cli.runs import find_run


class RunDir:
    """``config.yaml  env.json  train.log  metrics.jsonl  labels.json  checkpoints/  probes/  summary.json``."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def create(cls, path: Path, config: DictConfig, *, chosen_by_user: bool) -> "RunDir":
        """Claim a directory for a new run and write its config.

        Args:
            path: the directory; missing or empty.
            config: the composed config.
            chosen_by_user: then a directory in use is an error; else the run takes the name with the next free number.

        Raises:
            UserError: the directory is in use, or cannot be written.
        """
        if chosen_by_user:
            cls.check_free(path)
        text = OmegaConf.to_yaml(config, resolve=True)
        for attempt in range(1, 1000):
            candidate = path if attempt == 1 else path.with_name(f"{path.name}-{attempt}")
            try:
                candidate.mkdir(parents=True, exist_ok=True)
                if not any(candidate.iterdir()):
                    # Exclusive creation decides between two runs that start in the same second.
                    with (candidate / "config.yaml").open("x", encoding="utf-8") as file:
                        file.write(text)
                    (candidate / "checkpoints").mkdir()
                    return cls(candidate)
            except FileExistsError:
                pass
            except OSError as error:
                raise UserError(f"cannot write to {candidate}: {error.strerror}; write hydra.run.dir=DIR") from error
            if chosen_by_user:
                cls.check_free(path)
        raise UserError(f"{path} and 998 names after it are in use; write hydra.run.dir=DIR")

    @staticmethod
    def check_free(path: Path) -> None:
        """Raise ``UserError`` where a new run would meet files that are there already."""
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UserError(
                f"{path} exists and is not empty; nothing was overwritten: write another hydra.run.dir, "
                f"or resume={path} to go on with a run"
            )

    @classmethod
    def open(cls, reference: str) -> "RunDir":
        """Open an existing run directory: its path, that of one of its checkpoints, or ``last``."""
        path = find_run(reference, "resume")
        if path.is_file() and path.parent.name == "checkpoints":
            path = path.parent.parent
        if not (path / "config.yaml").is_file():
            raise UserError(f"{path} is not a run directory: it has no config.yaml")
        return cls(path)

    @property
    def config(self) -> DictConfig:
        """The config that the run was started with."""
        return OmegaConf.load(self.path / "config.yaml")

    @property
    def env(self) -> dict[str, Any]:
        """``env.json``: what the run was started with, for its checkpoints."""
        file = self.path / "env.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    @property
    def summary(self) -> dict[str, Any]:
        """``summary.json``, or ``{}`` while there is none."""
        file = self.path / "summary.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    def checkpoint_file(self, name: str = "last") -> Path:
        """Return the path of a checkpoint, ``last`` or ``best``."""
        return self.path / "checkpoints" / f"{name}.pt"

    def write_config(self, config: DictConfig) -> None:
        """Replace ``config.yaml``."""
        replace(self.path / "config.yaml", OmegaConf.to_yaml(config, resolve=True).encode())

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file of the run."""
        write_json(self.path / name, content)

    def log(self, line: str) -> None:
        """Append a line to ``train.log``."""
        with (self.path / "train.log").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}\n")

    def log_metrics(self, row: Mapping[str, Any]) -> None:
        """Append one JSON object to ``metrics.jsonl``."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def drop_metrics_after(self, step: int) -> None:
        """Forget the rows that a resumed run will write again."""
        file = self.path / "metrics.jsonl"
        if file.is_file():
            rows = []
            for line in file.read_text(encoding="utf-8").splitlines():
                try:
                    keep = json.loads(line)["step"] <= step
                except (json.JSONDecodeError, KeyError):  # a row cut short when the machine stopped
                    keep = False
                if keep:
                    rows.append(line + "\n")
            replace(file, "".join(rows).encode())


class Unwritten(RunDir):
    """The run directory as ranks other than 0 have it: they read it and leave it as it is."""

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Do nothing."""

    def log(self, line: str) -> None:
        """Do nothing."""

    def log_metrics(self, row: Mapping[str, Any]) -> None:
        """Do nothing."""

    def drop_metrics_after(self, step: int) -> None:
        """Do nothing."""


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
    package = Path(__file__).parent
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
