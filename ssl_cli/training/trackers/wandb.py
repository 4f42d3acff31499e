"""Weights & Biases, online or offline."""

import netrc
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from ssl_cli.errors import UserError
from ssl_cli.training.trackers.base import ANY, Row, TrackedRun, Tracker, kept_files, require, table

MODES = ("auto", "online", "offline")
PICTURE = re.compile(r"(.+)_(\d+)_[0-9a-f]+\.png")  # what W&B calls the file of a picture: name, step, digest


class WandB(Tracker):
    """A run of W&B: numbers, the config, pictures, the final table, and the run's directory as an artifact.

    Online, W&B forgets nothing: steps that are done again keep the numbers that they had first. Offline, a run that
    goes on is written anew from its first step: then one directory has all of it.

    Args:
        mode: ``online``, ``offline``, or ``auto``: as the environment says, else online if there is a key.
        project: that the run is listed in.
        entity: team or user, or None for one's own.
        dir: a directory for its files; None: the run's.
        files: send the run's directory.
    """

    def __init__(self, *, mode: str, project: str, entity: str | None, dir: str | None, files: bool):  # noqa: A002
        if mode not in MODES:
            raise UserError(f"tracker.wandb.mode={mode} is not one of {', '.join(MODES)}")
        require("wandb", "wandb")
        self.mode, self.project, self.entity, self.dir, self.files = mode, project, entity, dir, files

    def open(self, run: TrackedRun, step: int) -> dict[str, int]:
        """Begin the run, or go on with it."""
        self.run, root = run, Path(self.dir or run.path)
        root.mkdir(parents=True, exist_ok=True)
        self.folder = root / "wandb"
        # Nothing goes to directories of W&B's own choice, and no error to W&B itself.
        places = {"WANDB_CACHE_DIR": str(self.folder / "cache"), "WANDB_DATA_DIR": str(self.folder / "data")}
        self.set = {"WANDB_ERROR_REPORTING": "false", **places}
        self.set = {name: value for name, value in self.set.items() if name not in os.environ}
        os.environ |= self.set
        import wandb

        mode = self.mode if self.mode != "auto" else os.environ.get("WANDB_MODE", "online" if has_key() else "offline")
        if mode == "online" and not has_key():  # W&B would ask for it on the terminal
            raise ValueError("you have not logged in: wandb login, or tracker.wandb.mode=offline")
        self.offline = mode != "online"
        self.pictures = self._begin_anew(step) if self.offline else {}
        quiet = {"console": "off", "silent": True, "disable_git": True, "disable_code": True, "save_code": False}
        settings = wandb.Settings(**quiet, x_save_requirements=False, finish_timeout=600)
        self.wandb = wandb
        self.tracked = wandb.init(
            id=run.id,
            **{"project": self.project, "entity": self.entity, "name": run.name, "group": run.group},
            **{"config": run.config, "dir": str(root), "mode": mode, "settings": settings},
            resume=None if self.offline else "allow",
        )
        return {ANY: self.tracked.step - 1} if self.tracked.resumed else {}

    def write(self, rows: Sequence[Row]) -> None:
        """Log the numbers."""
        for row in rows:
            self.tracked.log(row.values, step=row.step)
            for name, png in self.pictures.pop(row.step, {}).items():
                self.picture(row.step, name, png)

    def picture(self, step: int, name: str, png: bytes) -> None:
        """Show a picture. After the numbers of its step: W&B calls the file by the step it is at."""
        import io

        from PIL import Image

        self.tracked.log({name: self.wandb.Image(Image.open(io.BytesIO(png)))}, step=step)

    def results(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Show the final table."""
        heads, lines = table(rows)
        self.tracked.log({"results": self.wandb.Table(columns=heads, data=lines)}, step=step)

    def close(self, state: str) -> None:
        """Send the run's directory, and end."""
        if state == "finished" and self.files:
            artifact = self.wandb.Artifact(f"run-{self.run.id}", type="run")
            for file, name in kept_files(self.run.path):
                policy = "immutable" if name.endswith(".pt") else "mutable"  # large and never changed: not copied
                artifact.add_file(str(file), name=name, policy=policy, skip_cache=True)
            self.tracked.log_artifact(artifact)
        self.tracked.finish(exit_code=0 if state == "finished" else 1)
        self.wandb.teardown()
        for name in self.set:  # the next run of this process has directories of its own
            os.environ.pop(name, None)
        if self.offline:
            self._remove_older()

    def _begin_anew(self, step: int) -> dict[int, dict[str, bytes]]:
        """Remove what was written offline of this run before; return its pictures up to a step."""
        found: dict[int, dict[str, bytes]] = {}
        for media in self.folder.glob(f"offline-run-*-{self.run.id}/files/media/images"):
            for file in media.rglob("*.png"):
                if (match := PICTURE.fullmatch(str(file.relative_to(media)))) and int(match[2]) <= step:
                    found.setdefault(int(match[2]), {})[match[1]] = file.read_bytes()
        self._remove_older()
        return found

    def _remove_older(self) -> None:
        """Remove all that was written offline of this run, except what is open."""
        own = Path(self.tracked.dir).parent if hasattr(self, "tracked") else None
        for directory in self.folder.glob(f"offline-run-*-{self.run.id}"):
            if directory != own:
                shutil.rmtree(directory, ignore_errors=True)


def has_key() -> bool:
    """Return whether there is a key of W&B: in the environment, or where ``wandb login`` leaves it."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    for name in (os.environ.get("NETRC"), "~/.netrc", "~/_netrc"):
        try:
            if name and netrc.netrc(Path(name).expanduser()).authenticators(host or ""):
                return True
        except (OSError, RuntimeError, netrc.NetrcParseError):  # there is none, or no home
            continue
    return False
