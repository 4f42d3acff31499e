"""A node of the config becomes an object. The only caller of Hydra's ``instantiate``."""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ssl_cli.cli import conf_dir
from ssl_cli.config import ANNOTATIONS
from ssl_cli.errors import UserError

# What a config that somebody else wrote may name without being trusted, beside what the YAML files of ssl itself name:
# constructors that only compute. A library is never allowed whole: torch.load and torch.hub.load live in torch.
HARMLESS = {
    "torch.nn": "BatchNorm1d BatchNorm2d Dropout ELU GELU GroupNorm Hardswish Identity LayerNorm LeakyReLU Linear Mish "
    "PReLU ReLU ReLU6 SELU Sequential SiLU Softplus Tanh",
    "torch.optim": "ASGD Adadelta Adagrad Adam AdamW Adamax NAdam RAdam RMSprop SGD",
    "torchvision.ops": "DropBlock2d FrozenBatchNorm2d MLP SqueezeExcitation StochasticDepth",
}
NODES, DEPTH = 20_000, 50  # of a config; those of ssl have a few hundred, and are 5 deep


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
        constructor = hydra_instantiate(without_annotations(plain), _partial_=True, _convert_="all")
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
    """Refuse a config from a checkpoint or run directory that could do anything but build this package's plug-ins.

    Args:
        node: the config as plain containers.
        trusted_modules: modules that the user named on the command line.

    Raises:
        UserError: names the target and how to allow it.
    """
    for value in _walk(node):
        if isinstance(value, str) and "${" in value:
            raise UserError(
                f"the checkpoint's config holds an interpolation ({value[:60]}), which ssl never writes: it is refused"
            )
        if isinstance(value, Mapping) and "_target_" in value:
            _check_target(value["_target_"], tuple(f"{name}." for name in trusted_modules))
    data = node.get("dataset") if isinstance(node, Mapping) else None
    if isinstance(data, Mapping):
        _check_directories(data)


def _check_target(target: Any, trusted: tuple[str, ...]) -> None:
    text = str(target)
    module, _, name = text.rpartition(".")
    if isinstance(target, str) and (target in _own_targets() or name in HARMLESS.get(module, "").split()):
        return
    if isinstance(target, str) and trusted and target.startswith(trusted):
        return
    raise UserError(
        f"the checkpoint's config names {text[:200]}, which is not a plug-in of ssl and could run any code; "
        f"if you trust it, write 'trusted_modules=[{text.split('.')[0][:60]}]'"
    )


def _check_directories(dataset: Mapping) -> None:
    """What a config names may be read; it may write in a directory of the user's, or cache in a new one in it."""
    place = dataset.get("root")
    if place is not None and dataset.get("download") and not Path(str(place)).expanduser().is_dir():
        raise _not_there("root", place)
    place = dataset.get("cache_dir")
    if place is not None:
        path = Path(str(place)).expanduser()
        if not (path.is_dir() or path.parent.is_dir()):
            raise _not_there("cache_dir", place)


def _not_there(key: str, place: Any) -> UserError:
    return UserError(
        f"the checkpoint's config would write to dataset.{key}={place}, which is not there; if that is meant, "
        "make the directory first"
    )


@functools.cache
def _own_targets() -> frozenset[str]:
    """Return what the YAML files that ship with ssl name: the list of plug-ins is the one on disk."""
    texts = (file.read_text(encoding="utf-8") for file in conf_dir().glob("*/*.yaml"))
    return frozenset(target for text in texts for target in re.findall(r"^\s*_target_: *(ssl_cli\.[\w.]+)", text, re.M))


def _walk(node: Any) -> Iterator[Any]:
    """Yield a node, its keys and all below it; what is too large or too deep, or contains itself, is refused."""
    stack, seen = [(node, 0)], 0
    while stack:
        node, depth = stack.pop()
        seen += 1
        if seen > NODES or depth > DEPTH:
            raise UserError("the checkpoint's config is far larger than one that ssl writes: it is refused")
        yield node
        if isinstance(node, Mapping):
            stack += [(child, depth + 1) for pair in node.items() for child in pair]
        elif isinstance(node, (list, tuple, set, frozenset)):
            stack += [(child, depth + 1) for child in node]


def without_annotations(node: Any) -> Any:
    """Return a node without the keys that only describe it (``_limits_``, ``_needs_``, ...): what is passed on."""
    if isinstance(node, Mapping):
        return {key: without_annotations(value) for key, value in node.items() if key not in ANNOTATIONS}
    return node
