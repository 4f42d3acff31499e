"""The run directory: what a run leaves behind, and how it is found and read again."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ssl_cli.config.elsewhere import typed_again
from ssl_cli.config.words import command, word
from ssl_cli.errors import UserError
from ssl_cli.runs.catalog import find_run, read_json
from ssl_cli.runs.config_file import read_config
from ssl_cli.system.atomic import remove_leftovers, replace, write_json


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
                f"or {word('resume', path)} to go on with a run"
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


class ReadOnlyRunDir(RunDir):
    """The run directory as ranks other than 0 have it: they read it and leave it as it is."""

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Do nothing."""

    def log(self, line: str) -> None:
        """Do nothing."""


def resume_command(run_dir: RunDir, config: DictConfig | None = None) -> str:
    """Return what to type to go on with a run."""
    config = config or {}
    trusted = config.get("trusted_modules")
    module = {"trusted_modules": list(trusted)} if trusted else {}
    return command("ssl", "train", resume=run_dir.path, **module, **typed_again(config.get("tracker")))


def record_failure(output_dir: Path, error: str, overrides: list[str]) -> None:
    """A job that failed before it had a run directory of its own still counts in the sweep's table."""
    if not (output_dir / "summary.json").exists():
        output_dir.mkdir(parents=True, exist_ok=True)
        summary = {"state": "failed", "error": error, "overrides": overrides, "results": []}
        write_json(output_dir / "summary.json", summary)
