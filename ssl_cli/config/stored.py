"""A config from a checkpoint or a run directory, which anybody may have written: what may be built of it, and is."""

import contextlib
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ssl_cli.config import check, schema
from ssl_cli.config.moved import MOVED, with_new_names
from ssl_cli.config.paths import conf_dir
from ssl_cli.config.words import word
from ssl_cli.errors import RunError, UserError

# What a config that somebody else wrote may name without being trusted, beside what the YAML files of ssl itself name:
# constructors that only compute. A library is never allowed whole: torch.load and torch.hub.load live in torch.
HARMLESS = {
    "torch.nn": "BatchNorm1d BatchNorm2d Dropout ELU GELU GroupNorm Hardswish Identity LayerNorm LeakyReLU Linear Mish "
    "PReLU ReLU ReLU6 SELU Sequential SiLU Softplus Tanh",
    "torch.optim": "ASGD Adadelta Adagrad Adam AdamW Adamax NAdam RAdam RMSprop SGD",
    "torchvision.ops": "DropBlock2d FrozenBatchNorm2d MLP SqueezeExcitation StochasticDepth",
}
NODES, DEPTH = 20_000, 50  # of a config; those of ssl have a few hundred, and are 5 deep


def stored_config(node: Any, file: Path, trusted_modules: Iterable[str] = ()) -> DictConfig:
    """Return the config of a run, as it is to be built: harmless, and of the types that ``ssl train`` asks for.

    Args:
        node: the config as plain containers.
        file: where it stands.
        trusted_modules: modules that the user named on the command line.

    Raises:
        UserError: it names foreign code, or is not a config that ``ssl train`` could have written.
    """
    check_targets(node, trusted_modules)
    with blaming_config(file):
        typed = OmegaConf.merge(OmegaConf.structured(schema.TrainConfig), with_new_names(node))
        config = OmegaConf.create(OmegaConf.to_container(typed))
        try:
            check.check(config, config, "train")
        except UserError as error:
            raise UserError(f"{file} is not what a run has written: {error}") from error
    return config


@contextlib.contextmanager
def blaming_config(file: Path) -> Iterator[None]:
    """While something is built of a stored config: what that raises, but for want of memory, is the fault of the file.

    A config that was typed is checked against the defaults of its groups; one that was stored may be of any others.
    """
    try:
        yield
    except (UserError, RunError, OSError, MemoryError):
        raise
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":  # of a GPU; torch may not be imported yet
            raise
        reason = next(iter(str(error).splitlines()), "")
        key = f"{error.full_key}: " if isinstance(error, OmegaConfBaseException) and error.full_key else ""
        raise UserError(
            f"the config in {file} is not one that ssl can build ({key}{type(error).__name__}: {reason[:300]}); "
            "bring back the file that the run has written, or use another run"
        ) from error


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
    text = str(MOVED.get(target, target) if isinstance(target, str) else target)
    module, _, name = text.rpartition(".")
    if isinstance(target, str) and (text in _own_targets() or name in HARMLESS.get(module, "").split()):
        return
    if isinstance(target, str) and trusted and target.startswith(trusted):
        return
    raise UserError(
        f"the checkpoint's config names {text[:200]}, which is not a plug-in of ssl and could run any code; "
        f"if you trust it, write {word('trusted_modules', [text.split('.')[0][:60]])}"
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
