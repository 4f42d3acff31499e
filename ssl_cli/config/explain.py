"""Say in one line what Hydra and OmegaConf say in several."""

import codecs
import re
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ssl_cli.config import check
from ssl_cli.config.paths import config_dirs, group_names
from ssl_cli.config.words import word
from ssl_cli.errors import UserError, did_you_mean

PLUG_INS = {"hydra/sweeper": ("optuna",), "hydra/launcher": ("joblib",)}  # of Hydra, each an extra of ssl


def explain_missing(error: MissingConfigException, conf: Path, command: str, flags: Sequence[str]) -> str:
    """An unknown option of a group, or an unknown config of a command: name the nearest one and list them.

    Args:
        error: what Hydra says.
        conf: where the configs of ssl are.
        command: whose config was asked for.
        flags: those of Hydra that were typed, each with its value after it.
    """
    missing = str(error.missing_cfg_file or "")
    group, _, option = missing.rpartition("/")
    options = [name for name in (error.options or []) if not name.startswith("_")]
    if option in PLUG_INS.get(group, ()):
        return f"{group}={option} is not installed: pip install 'ssl-cli[{option}]'"
    places = config_dirs(flags)
    for file in (place / f"{missing}.yml" for place in places):
        if file.is_file():
            return f"{file} is not read, for its name must end in .yaml; rename it to {file.stem}.yaml"
    if group and not options:  # Hydra has not looked: of one in a list, say
        options = sorted(f.stem for place in (conf, *places) for f in (place / group).glob("[!_]*.yaml"))
    if options:
        return f"there is no {group} '{option}'{did_you_mean(option, options)} ({group} is one of {', '.join(options)})"
    if group:
        return f"there is no config '{missing}'; the groups are {', '.join(group_names(conf))}"
    names = [command, *sorted(file.stem for place in places for file in place.glob("*.yaml"))]
    if not missing:
        return "--config-path would take the place of the configs of ssl; write --config-dir DIR, which adds to them"
    return (
        f"there is no config '{missing}'{did_you_mean(missing, names)} (the configs are {', '.join(names)}); for your "
        f"own, begin DIR/NAME.yaml with `defaults: [{command}, _self_]` and write --config-dir DIR -cn NAME"
    )


def check_marks(conf: Path, flags: Sequence[str]) -> None:
    """Raise ``UserError`` for a config of the user's that begins with a byte-order mark: Hydra misses its first line.

    Args:
        conf: where the configs of ssl are; a directory of the user's is looked at where it has the same groups.
        flags: those of Hydra that were typed, each with its value after it.
    """
    for place in config_dirs(flags):
        for pattern in ("*.yaml", *(f"{group}/*.yaml" for group in group_names(conf))):
            for file in place.glob(pattern):
                if file.is_file() and _first_bytes(file) == codecs.BOM_UTF8:
                    raise UserError(f"{file} begins with a byte-order mark (BOM); save it as UTF-8 without BOM")


def _first_bytes(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(len(codecs.BOM_UTF8))


def explain(error: Exception, command: str) -> str:
    """Say in one line what Hydra and OmegaConf say in several."""
    cause = error.__cause__ if isinstance(error, ConfigCompositionException) and error.__cause__ else error
    text = " ".join(str(error).split())
    if match := re.search(r"Key '([^']*)' (?:is not in struct|not in '[^']*')", str(cause)):
        full_key = getattr(cause, "full_key", None) or next(iter(re.findall(r"full_key: (\S+)", text)), match[1])
        where = f"{match[1]}: " if (match := re.match(r"In '([^']*)'", text)) else ""  # the file that sets it
        return where + _unknown_key(full_key, getattr(cause, "parent_node", None), command)
    if match := re.search(r"Value '([^']*)'.*could not be converted to (\w+)", str(cause)):
        kind = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}.get(match[2], match[2])
        return f"{getattr(cause, 'full_key', '') or 'value'}={match[1]} is not {kind}"
    if match := re.search(r"Incompatible value '([^']*)' for field of type '(\w+)'", str(cause)):
        return f"{getattr(cause, 'full_key', '') or 'value'}={match[1]} is not of type {match[2]}"
    if match := re.search(r"Interpolation key '([^']*)' not found", text):
        return f"an interpolation leads nowhere: there is no setting '{match[1]}'; write a value without ${{...}}"
    if match := re.search(r"Could not override '([^']*)'\. No match in the defaults list", text):
        return f"there is no group '{match[1]}' here (see `ssl {command} --help`)"
    if match := re.search(r"Ambiguous value for argument 'tracker=([^']*)'", text):
        both = word("tracker", match[1].split(","))
        return f"tracker={match[1]} is several values; for a run with several trackers write {both}"
    if match := re.search(r"Ambiguous value for argument '([^']*)'", text):
        return f"{match[1]} is several values: a sweep needs -m, so write ssl {command} -m {match[1]}"
    if match := re.search(r"Sweep parameters '([^']*)' requires|BasicSweeper does not support sweep type", text):
        return f"{match[1] or 'interval(A,B)'} is a range: to search it, write ssl {command} -m hydra/sweeper=optuna"
    if match := re.search(r"Error merging override (\S+)", text):
        return f"{match[1]} is not allowed: {str(cause).splitlines()[0]}"
    if isinstance(error, OmegaConfBaseException):
        key = getattr(error, "full_key", None)
        return f"{f'{key}: ' if key else ''}{str(error).splitlines()[0]}"
    if isinstance(error, OverrideParseException):
        return _unreadable(str(error.override))
    return text


def _unreadable(override: str) -> str:
    """Return how to type a setting that Hydra's grammar cannot read."""
    key, equals, value = override.partition("=")
    if not equals or not re.fullmatch(r"[+~]*[\w.@/$-]+", key):
        return f"cannot read '{override}'; write KEY=VALUE"
    return f"cannot read '{override}'; if the value is a text, write {word(key, value)}"


def _unknown_key(full_key: str, parent: object, command: str) -> str:
    if command in ("probe", "embed", "predict", "pick", "audit") and full_key.startswith("dataset."):
        return f"'{full_key}' can only be set beside a data set: write dataset=NAME {full_key}=VALUE"
    head, _, chosen = full_key.partition(".")
    if command == "train" and head == "tracker" and chosen.isidentifier():
        return f"tracker={chosen} is not chosen, which its settings belong to; write tracker={chosen}, too"
    part = full_key.rpartition(".")[0]
    known = check.known_settings(command)
    names = [name for name in known if part and name.rpartition(".")[0] == part]
    if not names and part and isinstance(parent, DictConfig):
        names = [f"{part}.{name}" for name in parent if not str(name).startswith("_")]
    beside = ", ".join(name.rpartition(".")[2] for name in names)
    listed = f" ({part} has {beside})" if names else f" (see `ssl {command} --help`)"
    return f"there is no setting '{full_key}'{did_you_mean(full_key, names or known)}{listed}"
