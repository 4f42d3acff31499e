"""From the ``dataset`` node of a config to images with labels and three splits."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ssl_cli.config.build import instantiate
from ssl_cli.data import splits
from ssl_cli.data.budget import parse_budget
from ssl_cli.data.images.base import ImageData, resize, to_channels
from ssl_cli.data.images.squares import Squares
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError

# Keys of the node that the program reads itself; the rest are the arguments of its `_target_`.
PROGRAM_KEYS = (
    *("labels", "label_seed", "pseudo_labels", "min_confidence"),
    *("val_fraction", "test_fraction", "split_seed", "mean", "std"),
)


def load(config: Mapping[str, Any], size: int | None = None) -> ImageData:
    """Load a data set and carve the splits that it does not define.

    Args:
        config: the composed ``dataset`` node (``conf/dataset/*.yaml``), as a plain dict.
        size: side of the square that a network sees of an image, in pixels; None: as stored.

    Raises:
        UserError: where the source says so (nothing there, broken files, no network, ...), or the size is none.
    """
    parse_budget(config["labels"])  # a bad budget should not wait for the images
    if size is not None and (type(size) is not int or size < 1):
        raise UserError(f"pretext.size={size} is neither a number of pixels nor null")
    data: ImageData = instantiate({key: value for key, value in config.items() if key not in PROGRAM_KEYS})
    strata = data.labels
    if not data.labelled and data.factors:  # numbers to predict need a val and a test split, too
        strata = torch.where(torch.stack([v.isfinite() for v in data.factors.values()]).any(0), 0, -1)
    fractions = config["val_fraction"], config["test_fraction"]
    full = splits.complete(strata, data.splits, *fractions, config["split_seed"], data.groups)
    left_out = sum(map(len, data.splits.values())) - sum(map(len, full.values()))
    note = f"{left_out:,} unlabelled images of groups in val or test left out" if left_out else ""
    return seen_at(replace(data, splits=full, note="; ".join(filter(None, [data.note, note]))), size)


def seen_at(data: ImageData, size: int | None) -> ImageData:
    """Return the data with images as a network sees them at a size (None: as stored): the centre squares."""
    stored, size = data.cut_from, size or data.stored_size
    if size == data.stored_size and not data.keep_aspect:
        return replace(data, images=stored, stored=None)
    return replace(data, images=Squares(stored, size), stored=stored)


def stored_as(node: Mapping[str, Any], info: DataInfo) -> dict[str, Any]:
    """Return the settings of a data set with the size and channels of a run's images, where it has such settings."""
    wanted = {"storage_size": info.stored_size or info.image_size, "channels": info.channels}
    return {key: wanted.get(key, value) for key, value in node.items()}


def load_fitting(
    node: dict[str, Any], info: DataInfo, typed: Sequence[str] = (), key: str = "dataset"
) -> tuple[ImageData, str]:
    """Load a data set with the size, the channels and the range of values that a model was trained on.

    Args:
        node: the data set's settings; ``storage_size``, ``channels`` and ``value_range``, where it has them, are set.
        info: of the run.
        typed: overrides of the command line; those of ``key`` keep their say.
        key: where the node stands in the config.

    Returns:
        The images, and lines that say how they were read and what was done.

    Raises:
        UserError: the user has set a size or channels that the model was not trained on.
    """
    side = info.stored_size or info.image_size
    wanted = {"storage_size": side, "channels": info.channels, "keep_aspect": info.keep_aspect}
    set_by_user = {item.lstrip("+~").split("=")[0] for item in typed}
    fitted = {name: value for name, value in wanted.items() if name in node and f"{key}.{name}" not in set_by_user}
    if info.value_range and f"{key}.value_range" not in set_by_user and node.get("value_range", 0) is None:
        fitted["value_range"] = info.value_range  # a key of the node: a set of other images than files has none
    data = load({**node, **fitted}, info.image_size)
    refused = [name for name in ("storage_size", "channels") if f"{key}.{name}" in set_by_user]
    if refused and (data.channels, data.stored_size) != (info.channels, side):
        raise UserError(
            f"the checkpoint's backbone was trained on {info.channels}x{side}x{side} images "
            f"({info.name}), {data.name} has {data.channels}x{data.stored_size}x{data.stored_size}; leave "
            f"{' and '.join(f'{key}.{name}' for name in refused)} away: the images are stored as the run's were"
        )
    if (data.channels, data.stored_size) != (info.channels, side):  # it cannot do so itself
        stored = resize(to_channels(data.cut_from, info.channels), side)
        data = seen_at(replace(data, images=stored, stored=None), info.image_size)
    colours = "grey" if info.channels == 1 else "RGB"
    how = f"whole, the shorter side at {side} pixels" if data.keep_aspect else f"at {side}x{side} pixels"
    return data, (f"{data.name}: {data.note}\n" if data.note else "") + (
        f"{data.name}: stored {how}, {colours}, and normalised as the {info.name} images that the run was trained on"
    )
