"""Run one command as a Hydra application, and turn what Hydra says of bad input into one line.

Hydra composes the config, makes the run directory and runs sweeps; the command gets a config that is already checked.
"""

import contextlib
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import hydra
from hydra._internal.hydra import Hydra
from hydra.core.config_store import ConfigLoadError, ConfigStore
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ssl_cli.config import schema
from ssl_cli.config.explain import check_marks, explain, explain_missing
from ssl_cli.config.jobs import Done, EndOfSweep, Jobs, existing_directories
from ssl_cli.config.paths import conf_dir, config_dirs
from ssl_cli.config.texts import texts_as_texts
from ssl_cli.errors import RunError, UserError, did_you_mean

# The flags of Hydra that make sense here; --experimental-rerun is left out, because it loads a pickle.
FLAGS = (
    *("--cfg", "-c", "--resolve", "--package", "-p", "--run", "-r", "--multirun", "-m", "--info", "-i"),
    *("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn"),
    *("--hydra-help", "--shell-completion", "-sc"),
)
ALONE = ("--resolve", "--run", "-r", "--multirun", "-m", "--hydra-help", "--shell-completion", "-sc")  # take no value
# Commands that look at a run's own inputs where no data set is chosen.
OWN_INPUTS = ("probe", "embed", "predict", "pick", "export", "audit")
NONE = ("launcher=null", "tracker=null")  # groups that need not be chosen; Hydra knows an empty list, but no null
SHOWS = {
    **dict.fromkeys(("--cfg", "-c"), ("job", "hydra", "all")),
    **dict.fromkeys(("--info", "-i"), ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")),
}


def run_app(
    command: str,
    args: Sequence[str],
    run: Callable[[DictConfig], int | Done],
    on_failure: Callable[[Path, str, list[str]], None] = lambda *_: None,
    program: str | None = None,
) -> int:
    """Compose the config of ``command`` from ``args`` and call ``run`` with it, once or for each job of a sweep.

    Args:
        command: names ``conf/<command>.yaml``.
        args: overrides and Hydra's flags.
        run: the command; gets the checked config, returns an exit status, or `Done`.
        on_failure: gets the directory, the error and the overrides of each job of a sweep that failed.
        program: the name that Hydra shows.

    Returns:
        The exit status: of the one job; of a sweep 1 if any job failed.
    """
    conf = conf_dir()
    flags, settings = _flags_and_settings(command, args)
    check_marks(conf, flags)
    sweep = not {"-m", "--multirun"}.isdisjoint(flags)
    check_groups(command, settings)
    settings = texts_as_texts(settings, command, sweep, [conf, *config_dirs(flags)])
    if not {"-cn", "--config-name"} & set(flags):
        settings = own_places(command, settings)
    settings = [f"{item[:-4]}[]" if item in NONE else item for item in settings]
    store = ConfigStore.instance()
    store.store(name=f"_{command}_schema", node=schema.SCHEMAS[command])
    _search_upwards(store)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors on instead of printing them
    sys.argv = [program or f"ssl {command}", *flags, *settings]
    with tempfile.TemporaryDirectory(prefix="ssl-jobs-") as outcomes:
        jobs = Jobs(command, run, on_failure, Path(outcomes), existing_directories(args), sys.argv)
        try:
            with _mode_by_flags(flags, settings):
                hydra.main(config_path=str(conf), config_name=command, version_base="1.3")(jobs.do)()
        except EndOfSweep as error:
            raise UserError(str(error)) from error
        except MissingConfigException as error:
            raise UserError(explain_missing(error, conf, command, flags)) from error
        except Exception as error:  # a job's are kept: this one is of Hydra, or of a plug-in of it
            if isinstance(error, OSError) and error.filename is None:  # of the output, not of a file
                raise
            if jobs.begun():
                raise RunError(
                    f"the sweep has ended ({type(error).__name__}: {' '.join(str(error).split())})"
                ) from error
            raise UserError(_about_composing(error, command, args)) from error
        return jobs.status()


def check_groups(command: str, settings: Sequence[str]) -> None:
    """Raise ``UserError`` for a group that is in the config of a command and none to choose from."""
    keys = {item.lstrip("+~").split("=")[0].split(".")[0] for item in settings}
    if command != "train" and schema.NOT_CHOSEN in keys:
        raise UserError(f"there is no group '{schema.NOT_CHOSEN}' here (see `ssl {command} --help`)")


def own_places(command: str, settings: Sequence[str]) -> list[str]:
    """Let ``dataset.root=DIR`` without ``dataset=NAME`` say where a run's own inputs are, and likewise their table.

    For the commands of `OWN_INPUTS` that is ``root=DIR``. Beside ``resume=`` and ``init=`` the settings that say where
    inputs are need not be those of the default data set.
    """
    keys = {item.lstrip("+").split("=")[0] for item in settings if not item.endswith("=null")}
    if "dataset" in keys:
        return list(settings)
    if command in OWN_INPUTS:
        return [re.sub(r"^\+*dataset\.(root|test_root|labels_file|file)=", r"\1=", item) for item in settings]
    places = tuple(f"{key}=" for key in schema.PLACES)
    of_a_run = command == "train" and not keys.isdisjoint(("resume", "init"))
    return [f"++{item}" if of_a_run and item.startswith(places) else item for item in settings]


@contextlib.contextmanager
def _mode_by_flags(flags: list[str], settings: list[str]) -> Iterator[None]:
    """Keep Hydra from composing the config once more, only to see whether a file in it asks for a sweep.

    Here a file can do so if it is an experiment, or the user's own.
    """
    keys = [item.lstrip("+~").split("=")[0].split("@")[0] for item in settings]
    by_file = any(key == "experiment" or key.startswith("hydra") and not key.endswith(".dir") for key in keys)
    look = Hydra.get_mode
    if not by_file and set(flags) <= {"-m", "--multirun", "-r", "--run"}:
        Hydra.get_mode = lambda *_, **__: None  # by the flags, that is
    try:
        yield
    finally:
        Hydra.get_mode = look


def _about_composing(error: Exception, command: str, args: Sequence[str]) -> str:
    """Say what Hydra says of a config that it cannot make."""
    if isinstance(error, (HydraException, OmegaConfBaseException, ValueError)):
        return explain(error, command)
    if isinstance(error, OSError):  # Hydra makes the run directory
        return f"cannot make the run directory: {error.strerror} ({error.filename}); write hydra.run.dir=DIR"
    return (  # it takes some typing mistakes badly
        f"Hydra cannot make a config of {shlex.join(args)} ({type(error).__name__}: {' '.join(str(error).split())}); "
        f"write GROUP=OPTION or KEY=VALUE (see `ssl {command} --help`)"
    )


def _search_upwards(store: ConfigStore) -> None:
    """Let Optuna look for the highest accuracy: by default it would look for the lowest, and not say so."""
    Plugins.instance()  # puts what the plug-ins define into the store
    with contextlib.suppress(ConfigLoadError):  # it is not installed
        sweeper = store.load("hydra/sweeper/optuna.yaml")
        sweeper.node.direction = "maximize"
        store.store(name="optuna", node=sweeper.node, group="hydra/sweeper", provider=sweeper.provider)


def _flags_and_settings(command: str, args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return Hydra's flags, each with its value, and the settings: mixed, argparse would not know a flag's end.

    Raises:
        UserError: a flag that there is not, or whose value is missing or impossible.
    """
    flags, settings, rest = [], [], list(args)
    while rest:
        arg = rest.pop(0)
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
        if not equals and name in ("--info", "-i") and rest[:1] not in [[shown] for shown in SHOWS[name]]:
            value = "all"  # it may be left out
        elif not equals:
            value = rest.pop(0) if rest else ""
        if name in SHOWS and value not in SHOWS[name]:
            raise UserError(f"{name} shows one of {', '.join(SHOWS[name])}, not '{value}'")
        if not value or value.startswith("-"):
            raise UserError(f"the flag {name} needs a value; write {name}=VALUE")
        other = value.removesuffix(".yaml")
        if name in ("--config-name", "-cn") and other in schema.SCHEMAS and other != command:
            raise UserError(f"{name} {value} is the config of another command; write ssl {other}, or leave {name} out")
        flags += [name, value]
    return flags, settings
