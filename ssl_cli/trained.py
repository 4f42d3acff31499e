"""A checkpoint becomes a frozen model and the images that it is shown: its run's own, or another data set's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from ssl_cli import checkpoint
from ssl_cli.data.images import ImageData, resize, to_channels
from ssl_cli.data.info import DataInfo
from ssl_cli.data.load import load
from ssl_cli.device import choose_device, set_threads
from ssl_cli.errors import UserError
from ssl_cli.methods.base import Method
from ssl_cli.setup import build_method, describe
from ssl_cli.stored import building, stored_config


@dataclass
class Trained:
    """A trained model and what it is probed with."""

    file: Path  # the checkpoint
    step: int  # of training that it was saved at
    config: DictConfig  # of the run
    info: DataInfo  # what the run knew of its data; its normalisation is used for any images
    method: Method  # with its weights, which need no gradient
    node: DictConfig  # settings of the data set that is looked at
    data: ImageData
    labelled: Tensor  # [n] positions of its train images whose label may be used
    device: torch.device
    note: str  # one line where images had to be made to fit, else ""


@dataclass
class Rebuilt:
    """The model of a checkpoint, without any image."""

    state: dict[str, Any]  # what the checkpoint holds
    config: DictConfig  # of the run
    info: DataInfo  # what the run knew of its data
    method: Method  # with its weights, on the CPU


def rebuild(file: Path, trusted_modules: Sequence[str] = ()) -> Rebuilt:
    """Rebuild the model of a checkpoint, strictly.

    Raises:
        UserError: the checkpoint cannot be read, names foreign code, or its weights do not fit its config.
    """
    state = checkpoint.load(file)
    config = stored_config(state["config"], file, trusted_modules)
    with building(file):
        info = DataInfo.from_dict(state["data"])
        method = build_method(config, info)
    checkpoint.load_weights(method, state["model"], "the checkpoint")  # every weight or none
    return Rebuilt(state, config, info, method)


def open_trained(file: Path, config: DictConfig, typed: Sequence[str] = ()) -> Trained:
    """Rebuild the model of a checkpoint, strictly, and load the images; ``ssl probe`` and ``ssl embed`` begin so.

    Images of another data set are stored at the size and channels that the run's had.

    Args:
        file: the checkpoint.
        config: has ``dataset`` (None: the run's own), ``trainer`` (device, threads), ``trusted_modules``.
        typed: overrides of the command line: a size or channels that the user has set are not changed.

    Raises:
        UserError: the checkpoint cannot be read, names foreign code, or does not fit the images.
    """
    set_threads(config.trainer.threads)
    device = choose_device(config.trainer.device)
    rebuilt = rebuild(file, config.trusted_modules)
    run_config, info = rebuilt.config, rebuilt.info
    method = rebuilt.method.to(device).requires_grad_(False)
    if run_config.trainer.channels_last:  # as it was measured at the end of the run, to the last bit
        method = method.to(memory_format=torch.channels_last)

    other = config.dataset is not None
    node = config.dataset if other else run_config.dataset
    if other:
        data, note = adapted(OmegaConf.to_container(node, resolve=True), info, typed)
    else:
        with building(file):
            data, note = loaded(node), ""
        if (data.channels, data.image_size) != (info.channels, info.image_size):
            raise UserError(
                f"{file} was trained on images of {info.channels}x{info.image_size}x{info.image_size}, but its config "
                f"gives {data.channels}x{data.image_size}x{data.image_size}: it is not what the run has written"
            )
    seen, labelled = describe(data, node)
    if not other and seen.splits != info.splits:
        raise UserError(
            f"the images of {info.name} are not those that the run was trained on, so its test split could hold images "
            "that it has seen; bring them back, or name the new ones: dataset=NAME dataset.root=DIR"
        )
    if other and data.name == info.name and seen.splits != info.splits:
        note += ", some of these test images perhaps among them, for the splits are not the run's"
    step = rebuilt.state["progress"]["step"]
    return Trained(file, step, run_config, info, method, node, data, labelled, device, note)


def loaded(node: DictConfig) -> ImageData:
    """Load the data set of a config's node."""
    return load(OmegaConf.to_container(node, resolve=True))


def adapted(node: dict[str, Any], info: DataInfo, typed: Sequence[str] = (), key: str = "dataset") -> tuple[Any, str]:
    """Load a data set with the size and channels that a model was trained on.

    Args:
        node: the data set's settings; ``storage_size`` and ``channels``, where it has them, are set.
        info: of the run.
        typed: overrides of the command line; those of ``key`` keep their say.
        key: where the node stands in the config.

    Returns:
        The images, and one line that says what was done, or "" where nothing had to be.

    Raises:
        UserError: the user has set a size or channels that the model was not trained on.
    """
    wanted = {"storage_size": info.image_size, "channels": info.channels}
    set_by_user = {item.lstrip("+~").split("=")[0] for item in typed}
    fitted = {name: value for name, value in wanted.items() if name in node and f"{key}.{name}" not in set_by_user}
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
    return data, (
        f"{data.name}: stored at {info.image_size}x{info.image_size} pixels, {colours}, and normalised as the "
        f"{info.name} images that the run was trained on"
    )
