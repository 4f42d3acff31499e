"""The facts of a data set that a model is built with, and the labels that may be used."""

from omegaconf import DictConfig
from torch import Tensor

from ssl_cli.data.base import Data, split_fingerprint
from ssl_cli.data.info import DataInfo
from ssl_cli.data.labels import draw


def describe(data: Data, node: DictConfig) -> tuple[DataInfo, Tensor]:
    """Return what models must know of the data, and the positions [n] whose label the budget grants."""
    train = data.splits["train"]
    groups = None if data.groups is None else data.groups[train]
    labelled = train[:0]
    if data.labelled:
        labelled = train[draw(data.labels[train], str(node.labels), node.label_seed, data.classes, groups, data.noun)]
    info = data.info(
        node,
        name=data.name,
        classes=data.classes,
        images=len(data.labels),
        train_size=len(train),
        labelled=len(labelled),
        splits=split_fingerprint(data),
    )
    return info, labelled
