"""Run one command as a Hydra application, and turn what Hydra says of bad input into one line.

Hydra composes the config, makes the run directory and runs sweeps; the command gets a config that is already checked.
"""

import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ssl_cli import config as cfg
from ssl_cli.atomic import write_json
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


def slug(text: str) -> str:
    """Make of a job's overrides a directory name that survives as an override value: no ``= , / %`` or spaces."""
    return re.sub(r"[^\w.+-]+", "-", str(text)).strip("-")[:120] or "default"


def run_app(
    command: str, args: list[str], run: Callable[[DictConfig], int], conf: Path, program: str | None = None
) -> int:
    """Compose the config of ``command`` from ``args`` and call ``run`` with it, once or for each job of a sweep.

    Args:
        command: names ``conf/<command>.yaml``.
        args: overrides and Hydra's flags.
        run: the command; gets the checked config, returns an exit status.
        conf: directory of the YAML files.
        program: the name that Hydra shows.

    Returns:
        The exit status: of the one job; of a sweep 1 if any job failed.
    """
    flags, settings = _flags_and_settings(command, args)
    store = ConfigStore.instance()
    store.store(name=f"_{command}_schema", node=cfg.SCHEMAS[command])
    OmegaConf.register_new_resolver("slug", slug, replace=True)
    outcomes: list[int | Exception] = []
    kept = _existing_directories(args)

    job = partial(_run_job, command, run, outcomes, kept)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors on instead of printing them
    sys.argv = [program or f"ssl {command}", *flags, *settings]
    try:
        hydra.main(config_path=str(conf), config_name=command, version_base="1.3")(job)()
    except MissingConfigException as error:
        raise UserError(_explain_missing(error, conf)) from error
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(_explain(error, command)) from error
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


def _flags_and_settings(command: str, args: list[str]) -> tuple[list[str], list[str]]:
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
    command: str, run: Callable[[DictConfig], int], outcomes: list[int | Exception], kept: set[Path], config: DictConfig
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
            cfg.check(config, _without_values(command, list(hydra_config.overrides.task)))
        except OmegaConfBaseException as error:  # an interpolation that leads nowhere, say
            raise UserError(_explain(error, command)) from error
        outcomes.append(run(config))
        if sweep and outcomes[-1] >= 124:  # a signal, or the end of the time, means the whole sweep
            print(f"to go on with the sweep: {again(output_dir.parent)}", flush=True)
            raise KeyboardInterrupt
    except (UserError, RunError) as error:
        outcomes.append(1 if sweep else error)
        if sweep:
            print(f"error: {one_line(error)}", file=sys.stderr, flush=True)
            record_failure(output_dir, str(error), list(hydra_config.overrides.task))
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
            record_failure(output_dir, f"{type(error).__name__}: {error}", list(hydra_config.overrides.task))
    finally:
        _remove_if_empty(output_dir, kept)


def again(sweep_dir: Path) -> str:
    """Return what to type to go on with a sweep: what is finished is left, what was begun goes on."""
    typed = [arg for arg in sys.argv[1:] if not arg.startswith("hydra.sweep.dir=")]
    shown = sweep_dir.relative_to(Path.cwd()) if sweep_dir.is_relative_to(Path.cwd()) else sweep_dir
    return shlex.join([*sys.argv[0].split(), *typed, f"hydra.sweep.dir={shown}"])


def _without_values(command: str, overrides: list[str]) -> DictConfig:
    """Compose again with the chosen groups only: what the user's values are compared with."""
    groups = {name.split("@")[0] for name in HydraConfig.get().runtime.choices}
    chosen = [item for item in overrides if item.lstrip("+~").split("=")[0].split("@")[0] in groups]
    return hydra.compose(config_name=command, overrides=chosen)


def record_failure(output_dir: Path, error: str, overrides: list[str]) -> None:
    """A job that failed before it had a run directory of its own still counts in the sweep's table."""
    if not (output_dir / "summary.json").exists():
        output_dir.mkdir(parents=True, exist_ok=True)
        summary = {"state": "failed", "error": error, "overrides": overrides, "results": []}
        write_json(output_dir / "summary.json", summary)


def _existing_directories(args: list[str]) -> set[Path]:
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


def _explain_missing(error: MissingConfigException, conf: Path) -> str:
    """An unknown option of a group: name the nearest one and list them."""
    missing = str(error.missing_cfg_file or "")
    group, _, option = missing.rpartition("/")
    options = [name for name in (error.options or []) if not name.startswith("_")]
    if not options:
        return f"there is no config '{missing}'; the groups are {', '.join(group_names(conf))}"
    return f"there is no {group} '{option}'{did_you_mean(option, options)} ({group} is one of {', '.join(options)})"


def _explain(error: Exception, command: str) -> str:
    """Say in one line what Hydra and OmegaConf say in several."""
    cause = error.__cause__ if isinstance(error, ConfigCompositionException) and error.__cause__ else error
    text = " ".join(str(error).split())
    if match := re.search(r"Key '([^']*)' (?:is not in struct|not in '[^']*')", str(cause)):
        return _unknown_key(
            match[1], getattr(cause, "full_key", None) or match[1], getattr(cause, "parent_node", None), command
        )
    if match := re.search(r"Value '([^']*)'.*could not be converted to (\w+)", str(cause)):
        kind = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}.get(match[2], match[2])
        return f"{getattr(cause, 'full_key', '') or 'value'}={match[1]} is not {kind}"
    if match := re.search(r"Incompatible value '([^']*)' for field of type '(\w+)'", str(cause)):
        return f"{getattr(cause, 'full_key', '') or 'value'}={match[1]} is not of type {match[2]}"
    if match := re.search(r"Interpolation key '([^']*)' not found", text):
        return f"an interpolation leads nowhere: there is no setting '{match[1]}'; write a value without ${{...}}"
    if match := re.search(r"Could not override '([^']*)'\. No match in the defaults list", text):
        return f"there is no group '{match[1]}' here (see `ssl {command} --help`)"
    if match := re.search(r"Ambiguous value for argument '([^']*)'", text):
        return f"{match[1]} is several values: a sweep needs -m, so write ssl {command} -m {match[1]}"
    if match := re.search(r"Error merging override (\S+)", text):
        return f"{match[1]} is not allowed: {str(cause).splitlines()[0]}"
    if isinstance(error, OmegaConfBaseException):
        key = getattr(error, "full_key", None)
        return f"{f'{key}: ' if key else ''}{str(error).splitlines()[0]}"
    if isinstance(error, OverrideParseException):
        return f"cannot read '{error.override}'; write KEY=VALUE, with quotes around brackets and spaces"
    return text


def _unknown_key(key: str, full_key: str, parent: object, command: str) -> str:
    names = [str(name) for name in parent if not str(name).startswith("_")] if isinstance(parent, DictConfig) else []
    prefix = full_key[: -len(key)] if full_key.endswith(key) else ""
    known = (
        f" ({prefix.rstrip('.') or 'it'} has {', '.join(names)})"
        if prefix and names
        else f" (see `ssl {command} --help`)"
    )
    if command == "probe" and full_key.startswith("dataset."):
        return f"'{full_key}' can only be set beside a data set: write dataset=NAME {full_key}=VALUE"
    near = did_you_mean(full_key, [prefix + name for name in names])
    return f"there is no setting '{full_key}'{near}{known}"


def group_names(conf: Path) -> list[str]:
    """Return the config groups on disk."""
    return sorted(path.name for path in conf.iterdir() if path.is_dir())
