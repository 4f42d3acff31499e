"""What Hydra calls for each job: once, or for each job of a sweep, here or in processes that its launchers start."""

import copy
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ssl_cli.config import check, schema
from ssl_cli.config.explain import explain
from ssl_cli.config.words import command, setting, without_quotes
from ssl_cli.errors import RunError, UserError, is_of_disk, one_line


@dataclass(frozen=True)
class Done:
    """How a job ended: its exit status, and what a search over settings (Optuna's) looks at; the higher the better."""

    status: int
    objective: float | None = None


class EndOfSweep(BaseException):
    """A mistake that all jobs of a sweep share. No ``Exception``: Hydra and its plug-ins would go on."""


@dataclass
class Jobs:
    """The jobs of one command. Launchers may pickle this: what a job has to say goes through a directory of files.

    Args:
        command: whose config it is.
        run: the command; gets the checked config, returns an exit status, or `Done`.
        on_failure: gets the directory, the error and the overrides of each job of a sweep that failed.
        outcomes: an empty directory; each job leaves how it ended there.
        kept: directories that were there before Hydra made its own.
        argv: what was typed.
    """

    command: str
    run: Callable[[DictConfig], int | Done]
    on_failure: Callable[[Path, str, list[str]], None]
    outcomes: Path
    kept: set[Path]
    argv: list[str]

    def begun(self) -> bool:
        """Return whether any job has begun."""
        return any(self.outcomes.iterdir())

    def status(self) -> int:
        """Return the exit status of the first job that failed, or 0; raise the error of a job that is no sweep's."""
        for file in sorted(self.outcomes.iterdir()):
            outcome = json.loads(file.read_text())
            if outcome["error"]:
                raise (UserError if outcome["status"] == 2 else RunError)(outcome["error"])
            if outcome["status"]:
                return outcome["status"]
        return 0

    def do(self, config: DictConfig) -> float | None:
        """Check the config and run the command; return what a search looks at.

        In a sweep an error is shown and recorded, and the next job goes on.
        """
        # An error is kept, not raised: Hydra would print lines of its own, and end the sweep.
        hydra_config = HydraConfig.get()
        overrides = OmegaConf.to_container(hydra_config.overrides.task)  # as typed: nothing in them is resolved
        sweep = hydra_config.mode == RunMode.MULTIRUN
        output_dir = Path(hydra_config.runtime.output_dir)
        # Paths mean what they meant where they were typed; with hydra.job.chdir a run enters its directory itself.
        os.chdir(hydra_config.runtime.cwd)
        sys.argv = self.argv
        self._record(1)  # of a process that dies
        if sweep:
            print(f"job {hydra_config.job.num}: {' '.join(overrides)}", flush=True)
        try:
            try:
                check.check(config, _without_values(), self.command)
                self._check_plug_ins(config)
            except OmegaConfBaseException as error:  # an interpolation that leads nowhere, say
                raise UserError(explain(error, self.command)) from error
            done = self.run(config)
            done = done if isinstance(done, Done) else Done(done)
            self._record(done.status)
            if sweep and done.status >= 124:  # a signal, or the end of the time, means the whole sweep
                print(f"to go on with the sweep: {sweep_command(output_dir.parent)}", flush=True)
                raise KeyboardInterrupt
            if done.status == 0 and searches() and done.objective is None:
                raise EndOfSweep(
                    "there is nothing to search by: a search looks at the kNN accuracy on val, and this run has none "
                    "(no labels, or nothing was trained); to do each job, leave hydra/sweeper out"
                )
            return done.objective
        except (UserError, RunError) as error:
            self._record(1 if sweep or isinstance(error, RunError) else 2, "" if sweep else str(error))
            if sweep:
                print(f"error: {one_line(error)}", file=sys.stderr, flush=True)
                self.on_failure(output_dir, str(error), overrides)
        except BrokenPipeError:
            raise SystemExit(141) from None  # nobody reads on
        except Exception as error:
            if isinstance(error, OSError) and is_of_disk(error):
                self._record(1, f"cannot write {error.filename or 'the output'}: {error.strerror}")
                return None
            traceback.print_exc()
            if sweep:
                self.on_failure(output_dir, f"{type(error).__name__}: {error}", overrides)
        finally:
            os.chdir(hydra_config.runtime.cwd)
            _remove_if_empty(output_dir, self.kept)
        return None

    def _record(self, status: int, error: str = "") -> None:
        hydra_config = HydraConfig.get()
        number = hydra_config.job.num if hydra_config.mode == RunMode.MULTIRUN else 0
        (self.outcomes / f"{number:06}").write_text(json.dumps({"status": status, "error": error}))

    def _check_plug_ins(self, config: DictConfig) -> None:
        """End a sweep that Hydra's launcher or sweeper cannot do together with what else was chosen."""
        chosen, launcher = HydraConfig.get().runtime.choices, config.get("launcher")
        if launcher is not None and chosen.get("hydra/launcher") != "basic":
            raise EndOfSweep(
                f"launcher={chosen.get('launcher')} and hydra/launcher={chosen['hydra/launcher']} would both start the "
                "jobs; leave one of them out"
            )
        if not searches():
            return
        if self.command != "train":
            raise EndOfSweep(
                f"ssl {self.command} gives nothing to search by; leave hydra/sweeper out, or search over ssl train"
            )
        if launcher is not None:
            raise EndOfSweep(
                "a search needs the results of jobs to choose the next ones, and launcher=NAME starts all at the end; "
                "leave it out, or write hydra/launcher=joblib"
            )
        direction = HydraConfig.get().sweeper.get("direction", "maximize")
        if str(getattr(direction, "name", direction)).lower() == "minimize":
            raise EndOfSweep(
                "hydra.sweeper.direction=minimize would find the worst: a search looks at the kNN accuracy on val; "
                "leave it out, or write hydra.sweeper.direction=maximize"
            )


def searches() -> bool:
    """Return whether the jobs are those of a search, which wants to know how good each is."""
    hydra_config = HydraConfig.get()
    return hydra_config.mode == RunMode.MULTIRUN and hydra_config.runtime.choices.get("hydra/sweeper") != "basic"


def sweep_command(sweep_dir: Path) -> str:
    """Return what to type to go on with a sweep: what is finished is left, what was begun goes on."""
    typed = [arg for arg in sys.argv[1:] if not arg.startswith("hydra.sweep.dir=")]
    shown = sweep_dir.relative_to(Path.cwd()) if sweep_dir.is_relative_to(Path.cwd()) else sweep_dir
    return command(*sys.argv[0].split(), *typed, setting("hydra.sweep.dir", shown))


def existing_directories(args: Sequence[str]) -> set[Path]:
    """Return the directories that were there before Hydra makes its own, as far as it could mean them."""
    chosen = [Path(without_quotes(arg.split("=", 1)[1])) for arg in args if arg.startswith("hydra.") and ".dir=" in arg]
    paths = [Path("outputs"), *Path("outputs").glob("*"), *chosen, *(p for c in chosen for p in c.parents)]
    return {path.resolve() for path in paths if path.is_dir()}


class _Composed:
    """The config of the groups that were chosen, as Hydra has it before it sets the user's values.

    Hydra has no name for that; to compose again takes a third of a second.
    """

    plain: DictConfig
    _set_values = staticmethod(ConfigLoaderImpl._apply_overrides_to_config)

    @classmethod
    def set_values(cls, overrides: list, config: DictConfig) -> None:
        cls.plain = copy.deepcopy(config)
        cls._set_values(overrides, config)


# Here, as the resolver below: for launchers whose processes know only this module.
ConfigLoaderImpl._apply_overrides_to_config = staticmethod(_Composed.set_values)


def _without_values() -> DictConfig:
    """Return the config with the chosen groups only: what the user's values are compared with."""
    return OmegaConf.masked_copy(_Composed.plain, [key for key in _Composed.plain if key != "hydra"])


def _remove_if_empty(directory: Path, kept: set[Path]) -> None:
    """Take away the directory that Hydra made, and below the working directory those above it, if nothing is there."""
    for path in (directory, *directory.parents):
        try:
            inside = path.is_relative_to(Path.cwd()) and path != Path.cwd()
            if path.resolve() in kept or not (inside or path == directory != Path.cwd()):
                return
            path.rmdir()
        except OSError:  # not empty
            return


def slug(overrides: Sequence[str]) -> str:
    """Make of a job's overrides a directory name that survives as an override value: no ``= , / %`` or spaces.

    Settings that make no other model are not in it: a sweep that goes on may change them.
    """
    named = sorted(item for item in overrides if not _is_housekeeping(item.lstrip("+~").split("=")[0].split("@")[0]))
    return re.sub(r"[^\w.+-]+", "-", "_".join(named)).strip("-")[:120] or "default"


def _is_housekeeping(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in schema.HOUSEKEEPING)


OmegaConf.register_new_resolver("slug", slug, replace=True)  # here, for launchers whose processes know only this module
