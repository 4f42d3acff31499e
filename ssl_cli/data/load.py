"""From the ``dataset`` node of a config to images with labels and three splits."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from ssl_cli.data import splits
from ssl_cli.data.budget import parse_budget
from ssl_cli.data.images import ImageData

# Keys of the node that the program reads itself; the rest are the arguments of its `_target_`.
PROGRAM_KEYS = ("labels", "label_seed", "val_fraction", "test_fraction", "split_seed", "mean", "std")


def load(config: Mapping[str, Any]) -> ImageData:
    """Load a data set and carve the splits that it does not define.

    Args:
        config: the composed ``dataset`` node (``conf/dataset/*.yaml``), as a plain dict.

    Raises:
        UserError: where the source says so (nothing there, broken files, no network, ...).
    """
    from ssl_cli.build import instantiate

    parse_budget(config["labels"])  # a bad budget should not wait for the images
    data: ImageData = instantiate({key: value for key, value in config.items() if key not in PROGRAM_KEYS})
    strata = data.labels
    if not data.labelled and data.factors:  # numbers to predict need a val and a test split, too
        strata = torch.where(torch.stack([v.isfinite() for v in data.factors.values()]).any(0), 0, -1)
    full = splits.complete(strata, data.splits, config["val_fraction"], config["test_fraction"], config["split_seed"])
    return replace(data, splits=full)
