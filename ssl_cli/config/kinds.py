"""Kinds of input, by what YAML files say of them: which one a data set has, and which ones a part is for.

A data set says ``_kind_: text``, and nothing if it has images. What is for certain kinds alone says
``_kinds_: [image]``, and nothing if it takes any: a method that compares views, say.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_cli.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

IMAGE = "image"
OPTIONS = {"augment": "recipes"}  # what the options of a group are called, where it is not its name with an s


def kind_of(node: Mapping[str, Any]) -> str:
    """Return the kind of a data set's inputs, by its settings.

    Raises:
        UserError: ``_kind_`` is neither a name nor ``{name: NAME, _target_: CLASS}``, see `ssl_cli.data.kinds`.
    """
    given = node.get("_kind_", IMAGE)
    name = given.get("name") if isinstance(given, Mapping) else given
    if not isinstance(name, str) or isinstance(given, Mapping) and not isinstance(given.get("_target_"), str):
        raise UserError(f"dataset._kind_={given} is neither a name nor {{name: NAME, _target_: CLASS}}")
    return name


def check_kinds(
    parts: "Mapping[str, DictConfig | None]",
    kind: str,
    whose: str,
    conf_dirs: Sequence[Path],
    choices: Mapping[str, Any],
) -> None:
    """Refuse the first part of a config that is for other kinds of input, and name those that are for this one.

    Args:
        parts: the settings of groups by name.
        kind: of the inputs.
        whose: what has them, as the message says it: ``dataset=NAME has``.
        conf_dirs: where the groups' files are.
        choices: what was chosen of each group, by ``GROUP`` or ``GROUP@PACKAGE``.

    Raises:
        UserError: with one line.
    """
    from omegaconf import OmegaConf  # `ssl compare` needs none of it

    parts = {key: OmegaConf.to_container(part, resolve=True) for key, part in parts.items() if part is not None}
    for key, kinds in _declared(parts):
        if not (isinstance(kinds, list) and all(isinstance(name, str) for name in kinds)):
            raise UserError(f"{key}._kinds_={kinds} is not a list of kinds of input; write [{IMAGE}], say")
        if kind in kinds:
            continue
        names = (name for name in choices if name == key or name.endswith(f"@{key}"))
        name = next(names, key)
        group, option = name.split("@")[0], choices.get(name)
        here = f"{name}={option}" if option else f"{key} ({str(_at(parts, key).get('_target_')).rpartition('.')[2]})"
        fitting = [file.stem for file in files(conf_dirs, group) if kind in listed(file, "_kinds_", [kind])]
        others = f"; {OPTIONS.get(group, f'{group}s')} for {kind}s: {', '.join(fitting)}" if fitting else ""
        raise UserError(f"{here} is for {_plural(kinds)}; {whose} {kind}s{others}")


def check_second(probes: Mapping[str, Mapping[str, Any] | None], kind: str) -> None:
    """Refuse a probe whose second data set, ``against``, has other inputs than the first.

    Args:
        probes: the settings of probes by where they stand in the config: ``probe``, ``probes.NAME``.
        kind: of the first data set's inputs.

    Raises:
        UserError: with one line.
    """
    for key, node in probes.items():
        second = None if node is None else node.get("against")
        if isinstance(second, Mapping) and (other := kind_of(second)) != kind:
            raise UserError(
                f"{key} compares {kind}s with {other}s; write dataset@{key}.against=NAME for a data set of {kind}s"
            )


def files(conf_dirs: Sequence[Path], group: str) -> list[Path]:
    """Return the files of a group's options."""
    found = {file.stem: file for place in conf_dirs for file in (place / group).glob("[!_]*.yaml")}
    return [found[name] for name in sorted(found)]


def listed(file: Path, key: str, otherwise: list[str]) -> list[str]:
    """Return the list that an option's file has under such a key, or the file beside it that it is built on."""
    from omegaconf import OmegaConf

    node = OmegaConf.load(file)
    if node.get(key):
        return list(node[key])
    for item in node.get("defaults", []):
        based_on = file.with_name(f"{item}.yaml") if isinstance(item, str) else None
        if based_on and based_on.is_file() and (found := listed(based_on, key, [])):
            return found
    return otherwise


def _declared(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key of each part that says what it is for, and what it says."""
    if isinstance(node, Mapping):
        if "_kinds_" in node:
            yield prefix, node["_kinds_"]
        for key, value in node.items():
            if key != "_kinds_":
                yield from _declared(value, f"{prefix}.{key}" if prefix else str(key))


def _at(node: Any, dotted: str) -> Mapping[str, Any]:
    for key in dotted.split("."):
        node = node[key]
    return node


def _plural(kinds: Sequence[str]) -> str:
    return " and ".join(f"{kind}s" for kind in kinds)
