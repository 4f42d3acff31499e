"""The kinds of inputs that there are: what each one's `DataInfo` is. Its `Data` is what a data set's source returns."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ssl_cli.config.kinds import IMAGE, kind_of
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError, did_you_mean

# Kind -> its class, imported when it is needed. A kind of your own is named in the YAML of its data sets:
# ``_kind_: {name: signal, _target_: my_package.SignalInfo}``.
KINDS: dict[str, str] = {
    IMAGE: "ssl_cli.data.images.info.ImageInfo",
    "text": "ssl_cli.data.texts.info.TextInfo",
    "clip": "ssl_cli.data.clips.info.ClipInfo",
}


def info_class(node: Mapping[str, Any]) -> type[DataInfo]:
    """Return the class of the facts about a data set's inputs, by its settings.

    Raises:
        UserError: there is no such kind, or no such class.
    """
    kind, given = kind_of(node), node.get("_kind_")
    path = given["_target_"] if isinstance(given, Mapping) else KINDS.get(kind)
    if path is None:
        raise UserError(f"dataset._kind_={kind} is not one of {', '.join(KINDS)}{did_you_mean(kind, KINDS)}")
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"dataset._kind_: cannot import {path}: {error} (is it installed, and _target_ spelled module.Class?)"
        ) from error
    if not (isinstance(found, type) and issubclass(found, DataInfo)) or found.kind != kind:
        raise UserError(f"dataset._kind_: {path} is not the DataInfo of {kind}s")
    return found


def check_image(info: DataInfo, what: str) -> None:
    """Raise ``UserError`` where ``what``, which is for images, is asked for of a run on something else."""
    if info.kind != IMAGE:
        raise UserError(f"{what} is for {IMAGE}s; this run was trained on {info.noun}s")


def info_from(values: Mapping[str, Any], node: Mapping[str, Any]) -> DataInfo:
    """Rebuild the facts that a checkpoint holds, of a data set with such settings.

    Raises:
        ValueError: a value is not of its kind; a checkpoint may be anybody's.
        UserError: there is no such kind.
    """
    plain = dict(values)
    kind = plain.pop("kind", IMAGE)  # images were there before kinds were
    if kind != kind_of(node):
        raise ValueError(f"data.kind cannot be {repr(kind)[:40]}")
    return info_class(node).from_dict(plain)
