"""From the ``dataset`` node of a config to inputs with labels and three splits."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ssl_cli.config.build import instantiate
from ssl_cli.config.kinds import kind_of
from ssl_cli.data import splits
from ssl_cli.data.base import Data
from ssl_cli.data.budget import parse_budget
from ssl_cli.data.info import DataInfo
from ssl_cli.data.kinds import info_class
from ssl_cli.errors import UserError

# Keys of the node that the program reads itself; the rest are the arguments of its `_target_`.
PROGRAM_KEYS = (
    *("labels", "label_seed", "pseudo_labels", "min_confidence"),
    *("val_fraction", "test_fraction", "split_seed", "mean", "std", "_kind_"),
)


def load(config: Mapping[str, Any], seen: Any = None) -> Data:
    """Load a data set and carve the splits that it does not define.

    Args:
        config: the composed ``dataset`` node (``conf/dataset/*.yaml``), as a plain dict.
        seen: what makes of them what a network sees, as `DataInfo.seen` has it; None: the data tell.

    Raises:
        UserError: where the source says so (nothing there, broken files, no network, ...), or ``seen`` does not fit.
    """
    parse_budget(config["labels"])  # a bad budget should not wait for the files
    info_class(config).check_seen(seen)
    data: Data = instantiate({key: value for key, value in config.items() if key not in PROGRAM_KEYS})
    strata = data.labels
    if not data.labelled and data.factors:  # numbers to predict need a val and a test split, too
        strata = torch.where(torch.stack([v.isfinite() for v in data.factors.values()]).any(0), 0, -1)
    fractions = config["val_fraction"], config["test_fraction"]
    full = splits.complete(strata, data.splits, *fractions, config["split_seed"], data.groups)
    left_out = sum(map(len, data.splits.values())) - sum(map(len, full.values()))
    note = f"{left_out:,} unlabelled {data.noun}s of groups in val or test left out" if left_out else ""
    return replace(data, splits=full, note="; ".join(filter(None, [data.note, note]))).seen_at(seen)


def load_fitting(
    node: dict[str, Any], info: DataInfo, typed: Sequence[str] = (), key: str = "dataset"
) -> tuple[Data, str]:
    """Load a data set as a model takes it that was trained on another: inputs of that shape and range of values.

    Args:
        node: the data set's settings; those of the model's data are set where it has them.
        info: of the run.
        typed: overrides of the command line; those of ``key`` keep their say.
        key: where the node stands in the config.

    Returns:
        The data, and lines that say how they were read and what was done.

    Raises:
        UserError: they are of another kind, or the user has set what the model was not trained on.
    """
    check_kind(node, info)
    names = {item.lstrip("+~").split("=")[0] for item in typed}
    mine = {name.removeprefix(f"{key}.") for name in names if name.startswith(f"{key}.")}
    data, how = info.fitted(load({**node, **info.settings(node, mine)}, info.seen), mine, key)
    return data, (f"{data.name}: {data.note}\n" if data.note else "") + f"{data.name}: {how}"


def check_kind(node: Mapping[str, Any], info: DataInfo) -> None:
    """Raise ``UserError`` where a data set is of another kind than a model takes."""
    kind = kind_of(node)
    if kind != info.kind:
        raise UserError(
            f"the model was trained on {info.noun}s ({info.name}), and this data set has {kind}s; write a dataset=NAME "
            f"of {info.noun}s"
        )
