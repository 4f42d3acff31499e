"""From the ``dataset`` node of a config to images with labels and three splits."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ssl_cli.config.build import instantiate
from ssl_cli.data import splits
from ssl_cli.data.budget import parse_budget
from ssl_cli.data.images.base import ImageData, resize, to_channels
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError

# Keys of the node that the program reads itself; the rest are the arguments of its `_target_`.
PROGRAM_KEYS = (
    *("labels", "label_seed", "pseudo_labels", "min_confidence"),
    *("val_fraction", "test_fraction", "split_seed", "mean", "std"),
)


def load(config: Mapping[str, Any]) -> ImageData:
    """Load a data set and carve the splits that it does not define.

    Args:
        config: the composed ``dataset`` node (``conf/dataset/*.yaml``), as a plain dict.

    Raises:
        UserError: where the source says so (nothing there, broken files, no network, ...).
    """
    parse_budget(config["labels"])  # a bad budget should not wait for the images
    data: ImageData = instantiate({key: value for key, value in config.items() if key not in PROGRAM_KEYS})
    strata = data.labels
    if not data.labelled and data.factors:  # numbers to predict need a val and a test split, too
        strata = torch.where(torch.stack([v.isfinite() for v in data.factors.values()]).any(0), 0, -1)
    full = splits.complete(strata, data.splits, config["val_fraction"], config["test_fraction"], config["split_seed"])
    return replace(data, splits=full)


def stored_as(node: Mapping[str, Any], info: DataInfo) -> dict[str, Any]:
    """Return the settings of a data set with the size and channels of a run's images, where it has such settings."""
    wanted = {"storage_size": info.image_size, "channels": info.channels}
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
    wanted = {"storage_size": info.image_size, "channels": info.channels}
    set_by_user = {item.lstrip("+~").split("=")[0] for item in typed}
    fitted = {name: value for name, value in wanted.items() if name in node and f"{key}.{name}" not in set_by_user}
    if info.value_range and f"{key}.value_range" not in set_by_user and node.get("value_range", 0) is None:
        fitted["value_range"] = info.value_range  # a key of the node: a set of other images than files has none
    data = load({**node, **fitted})
    refused = [name for name in wanted if f"{key}.{name}" in set_by_user]
    if refused and (data.channels, data.image_size) != (info.channels, info.image_size):
        raise UserError(
            f"the checkpoint's backbone was trained on {info.channels}x{info.image_size}x{info.image_size} images "
            f"({info.name}), {data.name} has {data.channels}x{data.image_size}x{data.image_size}; leave "
            f"{' and '.join(f'{key}.{name}' for name in refused)} away: the images are stored as the run's were"
        )
    if (data.channels, data.image_size) != (info.channels, info.image_size):  # it cannot do so itself
        data = replace(data, images=resize(to_channels(data.images, info.channels), info.image_size))
    colours = "grey" if info.channels == 1 else "RGB"
    return data, (f"{data.name}: {data.note}\n" if data.note else "") + (
        f"{data.name}: stored at {info.image_size}x{info.image_size} pixels, {colours}, and normalised as the "
        f"{info.name} images that the run was trained on"
    )
