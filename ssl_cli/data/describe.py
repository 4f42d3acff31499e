"""The facts of a data set that a model is built with, and the labels that may be used."""

from omegaconf import DictConfig
from torch import Tensor

from ssl_cli.data.images.base import ImageData, pixel_stats, split_fingerprint
from ssl_cli.data.info import DataInfo, for_channels
from ssl_cli.data.labels import draw
from ssl_cli.errors import UserError


def describe(data: ImageData, node: DictConfig) -> tuple[DataInfo, Tensor]:
    """Return what models must know of the data, and the positions [n] whose label the budget grants."""
    train = data.splits["train"]
    groups = None if data.groups is None else data.groups[train]
    labelled = train[:0]
    if data.labelled:
        labelled = train[draw(data.labels[train], str(node.labels), node.label_seed, data.classes, groups)]
    mean, std = normalisation(data, node)
    info = DataInfo(
        name=data.name,
        channels=data.channels,
        image_size=data.image_size,
        classes=data.classes,
        images=len(data.images),
        train_size=len(train),
        labelled=len(labelled),
        mean=mean,
        std=std,
        value_range=data.value_range,
        splits=split_fingerprint(data),
        stored_size=None if data.stored_size == data.image_size else data.stored_size,
        keep_aspect=data.keep_aspect,
    )
    return info, labelled


def normalisation(data: ImageData, node: DictConfig) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std per channel: those that the config names, or the train split's."""
    measured = pixel_stats(data)
    given = [tuple(node[key]) if node.get(key) is not None else None for key in ("mean", "std")]
    for key, values in zip(("mean", "std"), given, strict=True):
        numbers = values is None or all(isinstance(value, (int, float)) for value in values)
        fit = values is None or len(values) == data.channels or (len(values), data.channels) == (3, 1)
        if not (numbers and fit) or (values is not None and key == "std" and min(values) <= 0):
            shown = ",".join(f"{value:.3f}" for value in measured[key == "std"])
            raise UserError(
                f"dataset.{key}={list(values)} is not a {'positive ' * (key == 'std')}number for each of the "
                f"{data.channels} channels; measured on train: dataset.{key}=[{shown}]"
            )
    mean, std = (for_channels(values, data.channels) for values in (given[0] or measured[0], given[1] or measured[1]))
    return mean, std
