"""A node of the config becomes an object. The only caller of Hydra's ``instantiate``."""

import re
from collections.abc import Mapping
from typing import Any

from ssl_cli.config.schema import ANNOTATIONS
from ssl_cli.errors import UserError


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

    node = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    # Whoever is to build what is inside reads the annotations there.
    plain = without_annotations(node, nested=node.get("_recursive_", True))
    target = plain.get("_target_")
    # Hydra wraps and checks each value, which takes far longer than the call: it is given what it has to build.
    hydras = {key: value for key, value in plain.items() if _is_hydras(key) or _has_target(value)}
    given = {key: value for key, value in plain.items() if key not in hydras}
    try:
        # Partial, so that run-time objects do not pass through OmegaConf.
        constructor = hydra_instantiate(hydras, _partial_=True, _convert_="all")
    except InstantiationException as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise UserError(
            f"cannot build {target}: {reason} (is it installed, and _target_ spelled module.Class?)"
        ) from error
    try:
        return constructor(**{**given, **kwargs})
    except TypeError as error:
        name = re.escape(str(target).rpartition(".")[2])
        if re.match(
            rf"(\w+\.)*{name}(\.__init__)?\(\) (got an unexpected|missing)", str(error)
        ):  # the call, not the body
            raise UserError(f"cannot build {target}: {error}") from error
        raise


def _is_hydras(key: Any) -> bool:
    return not isinstance(key, str) or key.startswith("_")


def _has_target(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in value or any(map(_has_target, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_has_target, value))


def target_of(node: Any) -> Any:
    """Return the class that a node names; None where it cannot be imported, which is said where it is built."""
    from hydra.utils import get_object

    try:
        return get_object(node["_target_"])
    except Exception:  # Hydra's, or whatever a module raises
        return None


def without_annotations(node: Any, nested: bool = True) -> Any:
    """Return a node, and those inside it, without the keys that only describe it (``_limits_``, ...)."""
    if isinstance(node, Mapping):
        kept = {key: value for key, value in node.items() if key not in ANNOTATIONS}
        return {key: without_annotations(value) for key, value in kept.items()} if nested else kept
    return node
