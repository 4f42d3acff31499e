"""Which settings are texts whatever they look like: paths, and names of columns, runs and machines' queues."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from ssl_cli.config import schema
from ssl_cli.config.words import is_plain, is_quoted, typed_text
from ssl_cli.system import plain_yaml

OF_HYDRA = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.job.name")
SEVERAL = "several"  # a list of texts


def texts_as_texts(settings: Sequence[str], command: str, sweep: bool, conf_dirs: Iterable[Path]) -> list[str]:
    """Return overrides in which the values of settings that are texts are such to Hydra, too: ``root='2024'``.

    Args:
        settings: as typed.
        command: whose they are.
        sweep: whether commas part the values of a sweep.
        conf_dirs: where the YAML files of plug-ins are.
    """
    conf_dirs = list(conf_dirs)
    return [_as_text(item, command, sweep, conf_dirs) for item in settings]


def _as_text(item: str, command: str, sweep: bool, conf_dirs: list[Path]) -> str:
    key, equals, value = item.partition("=")
    if not equals or is_plain(value) or is_quoted(value) or not (kind := kind_of(key.lstrip("+~"), command, conf_dirs)):
        return item
    return f"{key}={typed_text(value, sweep, kind == SEVERAL)}"


def kind_of(key: str, command: str, conf_dirs: Iterable[Path]) -> str | None:
    """Return ``"text"`` or ``"several"`` for a setting that is a text or a list of them, else None."""
    fields = schema.SCHEMAS[command].__dataclass_fields__
    if key in OF_HYDRA or (key in fields and fields[key].metadata.get("text")):
        return "text"
    *parents, name = key.split(".")
    if not parents:
        return None
    groups = [parents[0], parents[-1]]
    if parents[0] in ("probe", "probes"):  # probe.NAME or probes.linear.NAME; below that a data set of its own
        groups = ["dataset"] if len(parents) > ("probe", "probes").index(parents[0]) + 1 else ["probe"]
    for directory in conf_dirs:
        for group in dict.fromkeys(groups):
            for file in sorted((directory / group).glob("*.y*ml")) if re.fullmatch(r"[\w-]+", group) else ():
                if kind := _declared(file).get(name):
                    return kind
    return None


def _declared(file: Path) -> dict[str, str]:
    """Return the texts that a plug-in's file declares under ``_texts_``, each with its kind."""
    try:
        content = file.read_text(encoding="utf-8-sig")
        node = plain_yaml.loads(content) if "_texts_" in content else None
    except (OSError, ValueError, yaml.YAMLError):  # Hydra says so if it is asked for
        return {}
    return declared(node)


def declared(node: object) -> dict[str, str]:
    """Return the keys that a plug-in's settings declare as texts, ``_texts_: [root, [columns]]``, with their kind."""
    names = node.get("_texts_") if isinstance(node, dict) else None
    found = {}
    for name in names if isinstance(names, list) else ():
        if isinstance(name, list):
            found |= dict.fromkeys(map(str, name), SEVERAL)
        else:
            found[str(name)] = "text"
    return found
