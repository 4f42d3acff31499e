"""Run one command as a Hydra application, and turn what Hydra says of bad input into one line.

Hydra composes the config, makes the run directory and runs sweeps; the command gets a config that is already checked.
"""

import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ssl_cli.config import check, schema
from ssl_cli.config.explain import explain, explain_missing
from ssl_cli.config.paths import conf_dir
from ssl_cli.errors import RunError, UserError, did_you_mean, is_of_disk, one_line

# The flags of Hydra that make sense here; --experimental-rerun is left out, because it loads a pickle.
FLAGS = (
    *("--cfg", "-c", "--resolve", "--package", "-p", "--run", "-r", "--multirun", "-m", "--info", "-i"),
    *("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn"),
    *("--hydra-help", "--shell-completion", "-sc"),
)
ALONE = ("--resolve", "--run", "-r", "--multirun", "-m", "--hydra-help", "--shell-completion", "-sc")  # take no value
SHOWS = {
    **dict.fromkeys(("--cfg", "-c"), ("job", "hydra", "all")),
    **dict.fromkeys(("--info", "-i"), ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")),
}


def slug(overrides: Sequence[str]) -> str:
    """Make of a job's overrides a directory name that survives as an override value: no ``= , / %`` or spaces.

    Settings that make no other model are not in it: a sweep that goes on may change them.
    """
    named = sorted(item for item in overrides if not _is_housekeeping(item.lstrip("+~").split("=")[0].split("@")[0]))
    return re.sub(r"[^\w.+-]+", "-", "_".join(named)).strip("-")[:120] or "default"


def _is_housekeeping(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in schema.HOUSEKEEPING)


def run_app(
    command: str,
    args: Sequence[str],
    run: Callable[[DictConfig], int],
    on_failure: Callable[[Path, str, list[str]], None] = lambda *_: None,
    program: str | None = None,
) -> int:
    """Compose the config of ``command`` from ``args`` and call ``run`` with it, once or for each job of a sweep.

    Args:
        command: names ``conf/<command>.yaml``.
        args: overrides and Hydra's flags.
        run: the command; gets the checked config, returns an exit status.
        on_failure: gets the directory, the error and the overrides of each job of a sweep that failed.
        program: the name that Hydra shows.

    Returns:
        The exit status: of the one job; of a sweep 1 if any job failed.
    """
    conf = conf_dir()
    flags, settings = _flags_and_settings(command, args)
    store = ConfigStore.instance()
    store.store(name=f"_{command}_schema", node=schema.SCHEMAS[command])
    OmegaConf.register_new_resolver("slug", slug, replace=True)
    outcomes: list[int | Exception] = []
    kept = _existing_directories(args)

    job = partial(_run_job, command, run, on_failure, outcomes, kept)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors on instead of printing them
    sys.argv = [program or f"ssl {command}", *flags, *settings]
    try:
        hydra.main(config_path=str(conf), config_name=command, version_base="1.3")(job)()
    except MissingConfigException as error:
        raise UserError(explain_missing(error, conf)) from error
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(explain(error, command)) from error
    except OSError as error:  # Hydra makes the run directory
        raise UserError(
            f"cannot make the run directory: {error.strerror} ({error.filename}); write hydra.run.dir=DIR"
        ) from error
    except Exception as error:  # the job's are kept: this one is of Hydra, which takes some typing mistakes badly
        text = " ".join(str(error).split())
        raise UserError(
            f"Hydra cannot make a config of {shlex.join(args)} ({type(error).__name__}: {text}); "
            f"write GROUP=OPTION or KEY=VALUE (see `ssl {command} --help`)"
        ) from error
    failed = [outcome for outcome in outcomes if outcome != 0]
    if failed and isinstance(failed[0], Exception):
        raise failed[0]
    return failed[0] if failed else 0


def _flags_and_settings(command: str, args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return Hydra's flags, each with its value, and the settings: mixed, argparse would not know a flag's end.

    Raises:
        UserError: a flag that there is not, or whose value is missing or impossible.
    """
    flags, settings, rest = [], [], iter(args)
    for arg in rest:
        name, equals, value = arg.partition("=")
        if not arg.startswith("-"):
            settings.append(arg)
            continue
        if name not in FLAGS:
            hint = f"; settings have no dashes: write {arg.lstrip('-')}" if equals else ""
            raise UserError(
                f"unknown flag '{arg}'{did_you_mean(arg, (*FLAGS, '--help'))}{hint} (see `ssl {command} --help`)"
            )
        if name in ALONE:
            if equals:
                raise UserError(f"the flag {name} takes no value; write {name}")
            flags.append(name)
            continue
        if not equals and name in ("--info", "-i"):  # its value may be left away
            value = "all"
        elif not equals:
            value = next(rest, "")
        if name in SHOWS and value not in SHOWS[name]:
            raise UserError(f"{name} shows one of {', '.join(SHOWS[name])}, not '{value}'")
        if not value or value.startswith("-"):
            raise UserError(f"the flag {name} needs a value; write {name}=VALUE")
        flags += [name, value]
    return flags, settings


def _run_job(
    command: str,
    run: Callable[[DictConfig], int],
    on_failure: Callable[[Path, str, list[str]], None],
    outcomes: list[int | Exception],
    kept: set[Path],
    config: DictConfig,
) -> None:
    """Check the config and run the command; in a sweep an error is shown and recorded, and the next job goes on."""
    # An error is kept, not raised: Hydra would print lines of its own, and end the sweep.
    hydra_config = HydraConfig.get()
    sweep = hydra_config.mode == RunMode.MULTIRUN
    output_dir = Path(hydra_config.runtime.output_dir)
    if sweep:
        print(f"job {hydra_config.job.num}: {' '.join(hydra_config.overrides.task)}", flush=True)
    try:
        try:
            check.check(config, _without_values(command, list(hydra_config.overrides.task)), command)
        except OmegaConfBaseException as error:  # an interpolation that leads nowhere, say
            raise UserError(explain(error, command)) from error
        outcomes.append(run(config))
        if sweep and outcomes[-1] >= 124:  # a signal, or the end of the time, means the whole sweep
            print(f"to go on with the sweep: {sweep_command(output_dir.parent)}", flush=True)
            raise KeyboardInterrupt
    except (UserError, RunError) as error:
        outcomes.append(1 if sweep else error)
        if sweep:
            print(f"error: {one_line(error)}", file=sys.stderr, flush=True)
            on_failure(output_dir, str(error), list(hydra_config.overrides.task))
    except BrokenPipeError:
        raise SystemExit(141) from None  # nobody reads on
    except Exception as error:
        if isinstance(error, OSError) and is_of_disk(error):
            where = f" {error.filename}" if error.filename else ""
            outcomes.append(RunError(f"cannot write{where}: {error.strerror}"))
            return
        outcomes.append(1)
        traceback.print_exc()
        if sweep:
            on_failure(output_dir, f"{type(error).__name__}: {error}", list(hydra_config.overrides.task))
    finally:
        _remove_if_empty(output_dir, kept)


def sweep_command(sweep_dir: Path) -> str:
    """Return what to type to go on with a sweep: what is finished is left, what was begun goes on."""
    typed = [arg for arg in sys.argv[1:] if not arg.startswith("hydra.sweep.dir=")]
    shown = sweep_dir.relative_to(Path.cwd()) if sweep_dir.is_relative_to(Path.cwd()) else sweep_dir
    return shlex.join([*sys.argv[0].split(), *typed, f"hydra.sweep.dir={shown}"])


def _without_values(command: str, overrides: list[str]) -> DictConfig:
    """Compose again with the chosen groups only: what the user's values are compared with."""
    groups = {name.split("@")[0] for name in HydraConfig.get().runtime.choices}
    chosen = [item for item in overrides if item.lstrip("+~").split("=")[0].split("@")[0] in groups]
    return hydra.compose(config_name=command, overrides=chosen)


def _existing_directories(args: Sequence[str]) -> set[Path]:
    """Return the directories that were there before Hydra makes its own, as far as it could mean them."""
    chosen = [Path(arg.split("=", 1)[1]) for arg in args if arg.startswith("hydra.") and ".dir=" in arg]
    paths = [Path("outputs"), *Path("outputs").glob("*"), *chosen, *(p for c in chosen for p in c.parents)]
    return {path.resolve() for path in paths if path.is_dir()}


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
