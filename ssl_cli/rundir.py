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

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ssl_cli import __version__
from ssl_cli.atomic import remove_leftovers, replace, write_json
from ssl_cli.config import GROUPS
from ssl_cli.errors import UserError
from ssl_cli.runs import find_run, read_json

CONFIG_LIMIT = 1 << 18  # characters of a config.yaml; those of ssl have a few thousand
CONFIG_DEPTH = 50  # lists and mappings within each other, likewise


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
    def open(cls, reference: str, setting: str = "resume") -> "RunDir":
        """Open an existing run directory: its path, that of one of its checkpoints, or ``last``."""
        path = find_run(reference, setting)
        if path.is_file() and path.parent.name == "checkpoints":
            path = path.parent.parent
        if not (path / "config.yaml").is_file():
            raise UserError(f"{path} is not a run directory: it has no config.yaml")
        return cls(path)

    @property
    def config(self) -> DictConfig:
        """The config that the run was started with, as data: nothing in it is resolved or built."""
        return read_config(self.path / "config.yaml")

    @property
    def env(self) -> dict[str, Any]:
        """``env.json``: what the run was started with, for its checkpoints."""
        return read_json(self.path / "env.json") or {}

    @property
    def summary(self) -> dict[str, Any]:
        """``summary.json``, or ``{}`` while there is none that can be read."""
        return read_json(self.path / "summary.json") or {}

    def checkpoint_file(self, name: str = "last") -> Path:
        """Return the path of a checkpoint, ``last`` or ``best``."""
        return self.path / "checkpoints" / f"{name}.pt"

    def clean(self) -> None:
        """Remove what writers that were killed have left; only for the holder of the run's lock."""
        for directory in (self.path, self.path / "checkpoints"):
            if directory.is_dir():
                remove_leftovers(directory)
        (self.path / "checkpoints").mkdir(exist_ok=True)

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
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    keep = json.loads(line)["step"] <= step
                except (ValueError, KeyError, TypeError):  # a row cut short when the machine stopped
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


def read_config(file: Path) -> DictConfig:
    """Read a config that a run has written, or somebody else in its place: small, and without YAML's aliases.

    A few lines of aliases of aliases are billions of nodes.

    Raises:
        UserError: it cannot be read, or is no config that ssl writes.
    """
    try:
        text = file.read_text(encoding="utf-8")
        if len(text) > CONFIG_LIMIT:
            raise UserError(f"{file} is {len(text):,} characters long, far more than a config that ssl writes")
        if "${" in text:
            raise UserError(f"{file} holds an interpolation (${{...}}), which ssl never writes: it is refused")
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise UserError(f"{file} has YAML aliases (*name), which ssl never writes: it is refused")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > CONFIG_DEPTH:  # the scanner's time grows with the square of it
                raise UserError(f"{file} is nested far deeper than a config that ssl writes")
        config = OmegaConf.create(text)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        raise UserError(f"{file} is damaged: {' '.join(str(error).split())}") from error
    if not isinstance(config, DictConfig):
        raise UserError(f"{file} is damaged: it holds no settings")
    if lacking := [group for group in GROUPS if not isinstance(config.get(group), DictConfig)]:
        raise UserError(f"{file} is damaged: it has no settings of {', '.join(lacking)}")
    return config


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
