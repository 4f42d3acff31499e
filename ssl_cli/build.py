"""A node of the config becomes an object. The only caller of Hydra's ``instantiate``."""

import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ssl_cli.config import ANNOTATIONS
from ssl_cli.errors import UserError

# What a config that somebody else wrote may name without being trusted: the plug-ins of this package.
PLUGINS = ("augment", "backbones", "data", "methods", "optim", "pretext", "probes", "schedule")


def instantiate(node: Any, **kwargs: Any) -> Any:
    """Build what ``node["_target_"]`` names.

    Args:
        node: mapping with ``_target_`` and keyword arguments; nested mappings with ``_target_`` are built first.
        kwargs: arguments known only at run time; they are passed on untouched.

    Raises:
        UserError: the target cannot be imported, or does not take these arguments.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate as hydra_instantiate
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    target = plain.get("_target_")
    try:
        # Partial, so that run-time objects do not pass through OmegaConf.
        constructor = hydra_instantiate(_without_annotations(plain), _partial_=True, _convert_="all")
    except InstantiationException as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise UserError(
            f"cannot build {target}: {reason} (is it installed, and _target_ spelled module.Class?)"
        ) from error
    try:
        return constructor(**kwargs)
    except TypeError as error:
        name = re.escape(str(target).rpartition(".")[2])
        if re.match(
            rf"(\w+\.)*{name}(\.__init__)?\(\) (got an unexpected|missing)", str(error)
        ):  # the call, not the body
            raise UserError(f"cannot build {target}: {error}") from error
        raise


def check_targets(node: Any, trusted_modules: Iterable[str] = ()) -> None:
    """Refuse a config from a checkpoint that names anything but this package's plug-ins.

    Args:
        node: the config as plain containers.
        trusted_modules: modules that the user named on the command line.

    Raises:
        UserError: names the target and how to allow it.
    """
    if any("${" in text for text in _texts(node)):
        raise UserError(
            "the checkpoint's config holds an interpolation (${...}), which ssl never writes: it is refused"
        )
    for target in _targets(node):
        if not (_is_plugin(target) or str(target).startswith(tuple(f"{name}." for name in trusted_modules))):
            module = str(target).split(".")[0]
            raise UserError(
                f"the checkpoint's config names {target}, which is not a plug-in of ssl and could run any code; "
                f"if you trust it, write 'trusted_modules=[{module}]'"
            )


def _is_plugin(target: Any) -> bool:
    """Tell whether a target is a class or function that one of our plug-in modules itself defines."""
    module, _, name = str(target).rpartition(".")
    if not re.fullmatch(rf"ssl_cli\.({'|'.join(PLUGINS)})(\.\w+)?", module):
        return False
    try:
        return getattr(importlib.import_module(module), name).__module__ == module
    except (ImportError, AttributeError):
        return False


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield str(key)
            yield from _texts(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _texts(value)
    elif isinstance(node, str):
        yield node


def _targets(node: Any) -> Iterator[Any]:
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield node["_target_"]
        for value in node.values():
            yield from _targets(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _targets(value)


def _without_annotations(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _without_annotations(value) for key, value in node.items() if key not in ANNOTATIONS}
    return node
