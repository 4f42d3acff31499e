"""Types, ranges, and parts that fit together: checked before anything heavy is imported."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from omegaconf import MISSING, DictConfig, OmegaConf

from ssl_cli.config.kinds import files, kind_of, listed
from ssl_cli.config.limits import WRITTEN, is_limit, within
from ssl_cli.config.schema import ANNOTATIONS, CHOICES, GROUPS, SCHEMAS, TrainerConfig
from ssl_cli.config.texts import SEVERAL, declared
from ssl_cli.config.words import word
from ssl_cli.errors import UserError, did_you_mean

MEANT = {
    "resume": "RUN (a run directory, or `last`)",
    "init": "RUN (a run directory, a checkpoint file, `last` or `best`)",
    "ckpt": "RUN (a run directory, a checkpoint file, `last` or `best`)",
    "backbone.name": "NAME (a network of timm, such as resnet50)",
    "dataset.root": "DIR (the directory of your files)",
}


def check(config: DictConfig, defaults: DictConfig, command: str) -> None:
    """Raise ``UserError`` for the first key that nobody reads, and the first value of the wrong type or out of range.

    Args:
        config: the composed config.
        defaults: the same groups composed without the user's values: the types of the plug-ins' keys.
        command: whose config it is: a key of ``SCHEMAS``.
    """
    schema = SCHEMAS[command]
    _check_keys(config, command)
    if command == "train":
        for key in GROUPS:
            if OmegaConf.is_missing(config, key) or not isinstance(config[key], DictConfig):
                value = "???" if OmegaConf.is_missing(config, key) else config[key]
                raise UserError(f"{key}={value} is not a group of settings; leave it out for the default")
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    reference = dict(_leaves(OmegaConf.to_container(defaults, resolve=True, throw_on_missing=False)))
    for key, default in reference.items():
        if isinstance(value := _select(plain, key), Mapping):  # it has no leaf of that name
            _check_type(key, value, default)
    _check_chosen(plain, schema)
    for group, key in (("method", "_needs_"), ("pretext", "_gives_")):
        names = plain[group].get(key, []) if isinstance(plain.get(group), Mapping) else []
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise UserError(f"{group}.{key}={names} is not a list of names of what a pretext gives; write [views], say")
    texts, nullable = dict(_annotated_texts(plain)), _nullable(command)
    for key, value in _leaves(plain):
        if key in texts:
            _check_text(key, value, texts[key])
        if value == MISSING or value == "":
            raise UserError(f"{key} is not set; write {key}={MEANT.get(key, 'VALUE')}")
        if value is not None or key not in nullable:
            _check_type(key, value, reference.get(key))
    _check_limits(plain, schema)
    for key, allowed in CHOICES.items():
        if plain.get("trainer", {}).get(key, allowed[0]) not in allowed:
            words = ", ".join(str(word).lower() if isinstance(word, bool) else word for word in allowed)
            raise UserError(f"trainer.{key}={plain['trainer'][key]} is not one of {words}")


def known_settings(command: str) -> dict[str, Any]:
    """Return the types of what a command itself reads, by dotted names; plug-ins' are their constructors' to know."""
    schema = SCHEMAS[command]
    nested = {
        name: f.default_factory for name, f in schema.__dataclass_fields__.items() if is_dataclass(f.default_factory)
    }
    inner = {f"{part}.{name}": kind for part, of in nested.items() for name, kind in get_type_hints(of).items()}
    return get_type_hints(schema) | inner


def _nullable(command: str) -> set[str]:
    """Return the settings that may be null, also where an experiment sets them."""
    return {key for key, kind in known_settings(command).items() if NoneType in get_args(kind)}


def _check_keys(config: DictConfig, command: str) -> None:
    """Refuse what was added with ``+`` and nobody reads, and a config that is not the command's."""
    known = known_settings(command)
    parts = {name.split(".")[0] for name in known if "." in name}
    added = [str(key) for key in config]  # with those that are missing
    added += [f"{part}.{key}" for part in parts if isinstance(config.get(part), DictConfig) for key in config[part]]
    for key in added:
        if key not in known:
            raise UserError(f"there is no setting '{key}'{did_you_mean(key, known)}")
    for key in known:
        if "." not in key and key not in added:
            raise UserError(
                f"the config has no {key}; leave ~{key} out, and begin a config of your own with "
                f"`defaults: [{command}, _self_]`"
            )


def _check_chosen(plain: Mapping, schema: type) -> None:
    """Refuse settings of a plug-in where none is chosen: nothing would be built of them."""
    chosen = {key: plain.get(key) for key, f in schema.__dataclass_fields__.items() if f.type is Any}
    chosen |= {f"probes.{name}": node for name, node in (chosen.pop("probes", None) or {}).items()}
    trackers = chosen.pop("tracker", None) or {}
    if not isinstance(trackers, Mapping) or "_target_" in trackers:
        raise UserError(f"tracker={trackers} is no group of trackers; write tracker=OPTION or tracker=[OPTION,OPTION]")
    chosen |= {f"tracker.{name}": node for name, node in trackers.items()}
    for key, node in chosen.items():
        option = f"+probe@{key}=OPTION" if key.startswith("probes.") else f"{key.split('.')[0]}=OPTION"
        if isinstance(node, Mapping) and "_target_" not in node:
            names = ", ".join(str(name) for name in node if name not in ANNOTATIONS)
            raise UserError(f"{key} has settings ({names}) but nothing is chosen that reads them; write {option}, too")
        if key.startswith("probes.") and node is not None and not isinstance(node, Mapping):
            raise UserError(f"{key}={node} is not a probe; write {option}")


def check_fit(config: DictConfig, conf_dirs: list[Path]) -> None:
    """Raise ``UserError`` where the pretext does not give what the method needs; the message lists those that do."""
    needs = set(config.method.get("_needs_", []))
    gives = set(config.pretext.get("_gives_", []))
    if needs <= gives:
        return
    kind = kind_of(config.dataset)
    fitting = {
        path.stem
        for path in files(conf_dirs, "pretext")
        if needs <= set(listed(path, "_gives_", [])) and kind in listed(path, "_kinds_", [kind])
    }
    raise UserError(
        f"this method needs a pretext that gives {', '.join(sorted(needs))}; this one gives "
        f"{', '.join(sorted(gives)) or 'nothing'}; write pretext={'|'.join(sorted(fitting))} (or leave pretext out)"
    )


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key not in ANNOTATIONS:
                yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, node


def _check_type(key: str, value: Any, default: Any) -> None:
    """Texts may be anything (their reader checks them) and so may keys without a default; the rest keeps its type."""
    kinds = {
        bool: ("true or false", bool),
        int: ("a whole number", int),
        float: ("a number", (int, float)),
        list: ("a list", list),
    }
    kind = kinds.get(type(default))
    if kind is None:
        return
    expected, types = kind
    if not isinstance(value, types) or (isinstance(value, bool) and not isinstance(default, bool)):
        shown = "null" if value is None else repr(value)
        raise UserError(f"{key}={shown} is not {expected}; the default is {key}={default}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{key}={value} is not a finite number")


def _check_text(key: str, value: Any, kind: str) -> None:
    """Refuse what a YAML file has as a number, or true, for a path or a name; typed ones are texts already."""
    values = value if kind == SEVERAL and isinstance(value, list) else [value]
    if wrong := [item for item in values if item is not None and not isinstance(item, str)]:
        raise UserError(
            f"{key}={wrong[0]} is {type(wrong[0]).__name__} in a file, not a text; write it there in quotes, "
            f"'{wrong[0]}', or type {word(key, str(wrong[0]))}"
        )


def _annotated_texts(node: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        yield from ((f"{prefix}{key}", kind) for key, kind in declared(node).items())
        for key, value in node.items():
            yield from _annotated_texts(value, f"{prefix}{key}.")


def _check_limits(plain: Mapping, schema: type) -> None:
    limits = {name: f.metadata["limit"] for name, f in schema.__dataclass_fields__.items() if "limit" in f.metadata}
    limits |= {
        f"trainer.{n}": f.metadata["limit"]
        for n, f in TrainerConfig.__dataclass_fields__.items()
        if "limit" in f.metadata
    }
    limits |= dict(_annotated_limits(plain))
    for key, limit in limits.items():
        value = _select(plain, key)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and not within(value, limit):
            raise UserError(f"{key}={value} is out of range: it must be {limit.replace('x', key)}")


def _annotated_limits(node: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        limits = node.get("_limits_", {})
        for key, limit in limits.items() if isinstance(limits, Mapping) else [("", limits)]:
            if not is_limit(limit):
                raise UserError(f"{prefix}_limits_.{key}={limit} is not a limit; {WRITTEN}")
            yield f"{prefix}{key}", limit
        for key, value in node.items():
            yield from _annotated_limits(value, f"{prefix}{key}.")


def _select(node: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return node
