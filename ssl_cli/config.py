"""What a config must be before anything heavy is imported: types, ranges, and parts that fit together.

The program's own settings are typed here; their values and meanings are in ``conf/``. Plug-ins (data sets, methods)
are plain YAML: their types are those of their defaults, their ranges stand beside them under ``_limits_``.
"""

import math
import operator
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf

from ssl_cli.errors import UserError, did_you_mean

# Keys of a plug-in's YAML that speak to the program, not to the plug-in.
ANNOTATIONS = ("_limits_", "_needs_", "_gives_")


def _limited(limit: str, **kwargs: Any) -> Any:
    return field(metadata={"limit": limit}, **kwargs)


@dataclass
class TrainerConfig:
    """The loop. Values and meanings: ``conf/trainer/default.yaml``."""

    epochs: int = _limited(">= 1", default=MISSING)
    max_steps: int | None = _limited(">= 1", default=None)
    batch_size: int = _limited(">= 2", default=MISSING)
    accumulate: int = _limited(">= 1", default=1)
    clip_grad: float | None = _limited("> 0", default=None)
    freeze_backbone: bool = False
    layer_decay: float = _limited("0 < x <= 1", default=1.0)
    eval_every: int = _limited(">= 1", default=MISSING)
    save_every: int = _limited(">= 1", default=MISSING)
    keep_every: int | None = _limited(">= 1", default=None)
    keep_last: int | None = _limited(">= 1", default=None)
    max_time: str | None = None
    on_nan: str = "stop"
    log_every: int = _limited(">= 1", default=MISSING)
    device: str = MISSING
    precision: str = MISSING
    channels_last: bool = MISSING
    threads: int | None = _limited(">= 1", default=None)
    devices: int = _limited(">= 1", default=1)
    synchronise_norms: bool = True
    rank_timeout: float = _limited("> 0", default=600.0)
    keep_memory: bool = True
    profile: bool = False
    dry_run: bool = False


@dataclass
class TrainConfig:
    """``ssl train``. Values and meanings: ``conf/train.yaml``."""

    seed: int = _limited("0 <= x < 4294967296", default=MISSING)
    name: str = MISSING
    resume: str | None = None
    init: str | None = None
    trusted_modules: list[str] = field(default_factory=list)
    dataset: Any = MISSING
    augment: Any = MISSING
    pretext: Any = MISSING
    backbone: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = MISSING
    method: Any = MISSING
    probes: Any = MISSING
    launcher: Any = None
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


@dataclass
class DeviceConfig:
    """Where a probe computes. Values and meanings: ``conf/probe.yaml``."""

    device: str = MISSING
    threads: int | None = _limited(">= 1", default=None)


@dataclass
class ProbeConfig:
    """``ssl probe``. Values and meanings: ``conf/probe.yaml``."""

    ckpt: str = MISSING
    trusted_modules: list[str] = field(default_factory=list)
    probe: Any = MISSING
    dataset: Any = None
    augment: Any = None
    layer: int | None = _limited(">= 1", default=None)
    keep_features: bool = True
    trainer: DeviceConfig = field(default_factory=DeviceConfig)


@dataclass
class EmbedConfig:
    """``ssl embed``. Values and meanings: ``conf/embed.yaml``."""

    ckpt: str = MISSING
    out: str | None = None
    split: str = "all"
    trusted_modules: list[str] = field(default_factory=list)
    dataset: Any = None
    augment: Any = None
    layer: int | None = _limited(">= 1", default=None)
    trainer: DeviceConfig = field(default_factory=DeviceConfig)


@dataclass
class ExportConfig:
    """``ssl export``. Values and meanings: ``conf/export.yaml``."""

    ckpt: str = MISSING
    out: str | None = None
    trusted_modules: list[str] = field(default_factory=list)


@dataclass
class ViewsConfig:
    """``ssl views``. Values and meanings: ``conf/views.yaml``."""

    seed: int = _limited("0 <= x < 4294967296", default=MISSING)
    images: int = _limited("1 <= x <= 64", default=MISSING)
    dataset: Any = MISSING
    augment: Any = MISSING
    pretext: Any = MISSING


SCHEMAS = {
    "train": TrainConfig,
    "probe": ProbeConfig,
    "embed": EmbedConfig,
    "export": ExportConfig,
    "views": ViewsConfig,
}
MEANT = {
    "resume": "RUN (a run directory, or `last`)",
    "init": "RUN (a run directory, a checkpoint file, `last` or `best`)",
    "ckpt": "RUN (a run directory, a checkpoint file, `last` or `best`)",
    "dataset.root": "DIR (the directory of your images)",
}
GROUPS = ("probes", "dataset", "method", "backbone", "augment", "pretext", "optimizer", "schedule", "trainer")
CHOICES = {"device": ("auto", "cpu", "cuda", "mps"), "precision": ("auto", "fp32", "bf16")}
CHOICES["on_nan"] = ("stop", "skip", "rollback")


def check(config: DictConfig, defaults: DictConfig) -> None:
    """Raise ``UserError`` for the first value of the wrong type or out of range.

    Args:
        config: the composed config.
        defaults: the same groups composed without the user's values: the types of the plug-ins' keys.
    """
    signs = {"method": "train", "pretext": "views", "probe": "probe", "split": "embed"}  # that no command before has
    keys = list(config)  # with those that are missing
    schema = SCHEMAS[next((command for key, command in signs.items() if key in keys), "export")]
    for key in keys:
        if key not in schema.__dataclass_fields__:
            raise UserError(f"there is no setting '{key}'{did_you_mean(key, schema.__dataclass_fields__)}")
    if schema is TrainConfig:
        for key in GROUPS:
            if OmegaConf.is_missing(config, key) or not isinstance(config[key], DictConfig):
                value = "???" if OmegaConf.is_missing(config, key) else config[key]
                raise UserError(f"{key}={value} is not a group of settings; leave it away for the default")
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    reference = dict(_leaves(OmegaConf.to_container(defaults, resolve=True, throw_on_missing=False)))
    for key, default in reference.items():
        if isinstance(value := _select(plain, key), Mapping):  # it has no leaf of that name
            _check_type(key, value, default)
    for group, key in (("method", "_needs_"), ("pretext", "_gives_")):
        names = plain[group].get(key, []) if isinstance(plain.get(group), Mapping) else []
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise UserError(f"{group}.{key}={names} is not a list of names of what a pretext gives; write [views], say")
    for key, value in _leaves(plain):
        if value == MISSING or value == "":
            raise UserError(f"{key} is not set; write {key}={MEANT.get(key, 'VALUE')}")
        _check_type(key, value, reference.get(key))
    _check_limits(plain, schema)
    for key, allowed in CHOICES.items():
        if plain.get("trainer", {}).get(key, allowed[0]) not in allowed:
            raise UserError(f"trainer.{key}={plain['trainer'][key]} is not one of {', '.join(allowed)}")


def check_fit(config: DictConfig, conf_dirs: list[Path]) -> None:
    """Raise ``UserError`` where the pretext does not give what the method needs; the message lists those that do."""
    needs = set(config.method.get("_needs_", []))
    gives = set(config.pretext.get("_gives_", []))
    if needs <= gives:
        return
    fitting = {
        path.stem
        for directory in conf_dirs
        for path in (directory / "pretext").glob("*.yaml")
        if needs <= set(_given(path))
    }
    raise UserError(
        f"this method needs a pretext that gives {', '.join(sorted(needs))}; this one gives "
        f"{', '.join(sorted(gives)) or 'nothing'}; write pretext={'|'.join(sorted(fitting))} (or leave pretext away)"
    )


def _given(pretext: Path) -> list[str]:
    """Return what a pretext's file says that it gives, or the file beside it that it is built on."""
    node = OmegaConf.load(pretext)
    based_on = (pretext.with_name(f"{item}.yaml") for item in node.get("defaults", []) if isinstance(item, str))
    return node.get("_gives_") or [given for file in based_on if file.is_file() for given in _given(file)]


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


_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_ONE_SIDED = re.compile(r"\s*(<=?|>=?)\s*(\S+)\s*")
WRITTEN = "a limit is written '> 0', '>= 1' or '0 <= x < 1'"
_TWO_SIDED = re.compile(r"\s*(\S+)\s*(<=?)\s*x\s*(<=?)\s*(\S+)\s*")


def within(value: float, limit: str) -> bool:
    """Tell whether a value keeps a limit such as ``"> 0"``, ``">= 1"`` or ``"0 <= x < 1"``."""
    if match := _TWO_SIDED.fullmatch(limit):
        low, first, second, high = match.groups()
        return _COMPARE[first](float(low), value) and _COMPARE[second](value, float(high))
    if match := _ONE_SIDED.fullmatch(limit):
        return _COMPARE[match[1]](value, float(match[2]))
    raise ValueError(f"{WRITTEN}, not '{limit}'")


def is_limit(limit: Any) -> bool:
    """Tell whether something is written as a limit."""
    try:
        return isinstance(limit, str) and within(0, limit) in (True, False)
    except ValueError:
        return False
