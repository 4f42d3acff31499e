"""The kinds of inputs that there are."""

from collections.abc import Mapping
from typing import Any

from ssl_cli.data.clips.info import ClipInfo
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError, did_you_mean

KINDS: dict[str, type[DataInfo]] = {"image": ImageInfo, "clip": ClipInfo}


def kind_of(node: Mapping[str, Any]) -> str:
    """Return the kind of a data set's inputs, by its settings: a name in `KINDS`.

    Raises:
        UserError: there is no such kind.
    """
    kind = str(node.get("_kind_", "image"))
    if kind not in KINDS:
        raise UserError(f"dataset._kind_={kind} is not one of {', '.join(KINDS)}{did_you_mean(kind, KINDS)}")
    return kind


def info_from(values: Mapping[str, Any]) -> DataInfo:
    """Rebuild the facts that a checkpoint holds; without a ``kind`` they are of images.

    Raises:
        ValueError: a value is not of its kind; a checkpoint may be anybody's.
    """
    plain = dict(values)
    kind = plain.pop("kind", "image")
    if kind not in KINDS:
        raise ValueError(f"data.kind cannot be {repr(kind)[:40]}")
    return KINDS[kind].from_dict(plain)
