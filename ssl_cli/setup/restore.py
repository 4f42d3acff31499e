"""A checkpoint becomes a frozen model and the inputs that it is shown: its run's own, or another data set's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from ssl_cli.backbones.adapt import merge
from ssl_cli.backbones.base import Backbone
from ssl_cli.backbones.foreign.origin import Origin
from ssl_cli.config.stored import blaming_config, stored_config
from ssl_cli.data.base import Data
from ssl_cli.data.dataset import load_fitting
from ssl_cli.data.describe import describe
from ssl_cli.data.info import DataInfo
from ssl_cli.data.kinds import info_from
from ssl_cli.errors import UserError
from ssl_cli.methods.base import Method
from ssl_cli.runs import checkpoint
from ssl_cli.setup.own_inputs import own_inputs, stored_node, without_trained
from ssl_cli.setup.parts import build_method
from ssl_cli.system.device import choose_device, set_threads
from ssl_cli.system.memory import keep_freed_memory
from ssl_cli.system.transfer import striped_weights

START = "start"  # the checkpoint at step 0 of a run whose backbone was trained before: what training is held against


@dataclass
class OpenedCheckpoint:
    """A trained model and what it is probed with."""

    file: Path  # the checkpoint
    step: int  # of training that it was saved at
    config: DictConfig  # of the run
    info: DataInfo  # what the run knew of its data; its normalisation is used for any inputs
    method: Method  # with its weights, which need no gradient
    node: DictConfig  # settings of the data set that is looked at
    data: Data
    labelled: Tensor  # [n] positions of its train inputs whose label may be used
    device: torch.device
    note: str  # one line where inputs had to be made to fit, else ""


@dataclass
class Rebuilt:
    """The model of a checkpoint, without any input."""

    state: dict[str, Any]  # what the checkpoint holds
    config: DictConfig  # of the run
    info: DataInfo  # what the run knew of its data
    method: Method  # with its weights, on the CPU


def read_checkpoint(file: Path, trusted_modules: Sequence[str] = ()) -> tuple[dict[str, Any], DictConfig, DataInfo]:
    """Return what a checkpoint holds, its config and what its run knew of the data; nothing is built yet.

    Raises:
        UserError: the checkpoint cannot be read, or names foreign code.
    """
    return _described(file, checkpoint.load(file), trusted_modules)


def rebuild(file: Path, trusted_modules: Sequence[str] = ()) -> Rebuilt:
    """Rebuild the model of a checkpoint, strictly.

    Raises:
        UserError: the checkpoint cannot be read, names foreign code, or its weights do not fit its config.
    """
    return _rebuilt(file, checkpoint.load(file), trusted_modules)


def rebuild_newest(run: Path, trusted_modules: Sequence[str] = ()) -> Rebuilt:
    """Rebuild the model of a run from the newest of its checkpoints that is whole.

    Args:
        run: the run's directory.
        trusted_modules: modules outside ssl_cli that the checkpoint may name.

    Raises:
        UserError: there is no checkpoint, or the newest is refused as in `rebuild`.
    """
    if not any((run / "checkpoints").glob("*.pt")):
        raise UserError("there is no checkpoint")
    file, state, _ = checkpoint.newest_sound(run / "checkpoints")
    return _rebuilt(file, state, trusted_modules)


def _described(
    file: Path, state: dict[str, Any], trusted: Sequence[str]
) -> tuple[dict[str, Any], DictConfig, DataInfo]:
    config = stored_config(state["config"], file, trusted)
    with blaming_config(file):
        return state, config, info_from(state["data"], config.dataset)


def _rebuilt(file: Path, state: dict[str, Any], trusted: Sequence[str]) -> Rebuilt:
    _, config, info = _described(file, state, trusted)
    with blaming_config(file):
        method = build_method(config, info, pretrained=False)  # no file but this one is needed
    checkpoint.load_weights(method, state["model"], str(file))  # every weight or none
    merge(method)
    method.backbone.origin = Origin.from_dict(state.get("weights"))
    return Rebuilt(state, config, info, method)


def before_training(
    run: Path, device: torch.device, trusted_modules: Sequence[str], log: Callable[[str], None]
) -> Backbone | None:
    """Return the frozen network that a run was given, where it has kept it (`START`); else None.

    Args:
        run: its directory.
        device: where the network goes.
        trusted_modules: modules outside ssl_cli that the checkpoint may name.
        log: gets a line where it cannot be read.
    """
    file = run / "checkpoints" / f"{START}.pt"
    if not file.is_file():
        return None
    try:
        rebuilt = rebuild(file, trusted_modules)
    except UserError as error:
        log(f"no row of before training: {error}")
        return None
    measured = rebuilt.method.measured.to(device).requires_grad_(False)
    return striped_weights(measured) if rebuilt.config.trainer.channels_last else measured


def open_model(file: Path, config: DictConfig) -> tuple[Rebuilt, torch.device]:
    """Rebuild the model of a checkpoint, strictly, frozen and on its device; see `open_checkpoint`."""
    keep_freed_memory()
    set_threads(config.trainer.threads)
    device = choose_device(config.trainer.device)
    rebuilt = rebuild(file, config.trusted_modules)
    method = rebuilt.method.to(device).requires_grad_(False)
    if rebuilt.config.trainer.channels_last:  # as it was measured at the end of the run, to the last bit
        method = striped_weights(method)
    rebuilt.method = method
    return rebuilt, device


def open_checkpoint(file: Path, config: DictConfig, typed: Sequence[str] = ()) -> OpenedCheckpoint:
    """Rebuild the model of a checkpoint, strictly, and load the inputs; ``ssl probe`` and ``ssl embed`` begin so.

    Inputs of another data set are stored as the run's were.

    Args:
        file: the checkpoint.
        config: has ``dataset`` (None: the run's own), ``root`` (where that is now), ``trainer`` (device, threads),
            ``trusted_modules``.
        typed: overrides of the command line: what the user has set of the inputs is not changed.

    Raises:
        UserError: the checkpoint cannot be read, names foreign code, or does not fit the inputs.
    """
    return with_data(file, *open_model(file, config), config, typed)


def with_data(
    file: Path, rebuilt: Rebuilt, device: torch.device, config: DictConfig, typed: Sequence[str] = ()
) -> OpenedCheckpoint:
    """Load the inputs that a model from `open_model` is shown; see `open_checkpoint`."""
    run_config, info, method = rebuilt.config, rebuilt.info, rebuilt.method
    run, stored = file.parent.parent, OmegaConf.to_container(run_config.dataset, resolve=True)
    other = config.dataset is not None
    places = {key: config.get(key) for key in ("root", "test_root", "labels_file", "file")}
    node = config.dataset if other else OmegaConf.create(stored_node(stored, run, **places))
    if other:
        if node.get("pseudo_labels") is not None:
            raise UserError("dataset.pseudo_labels is for training alone; leave it out")
        data, note = load_fitting(OmegaConf.to_container(node, resolve=True), info, typed)
        data, left_out = without_trained(data, {**stored, "root": node.get("root")}, info, run)
        note += f"\n{left_out}" if left_out else ""
    else:
        with blaming_config(file):
            data, note = own_inputs(OmegaConf.to_container(node), info, run)
        if data.shape != info.shape:
            raise UserError(
                f"{file} was trained on {info.noun}s of {info.shape}, but its config gives {data.shape}: it is not "
                "what the run has written"
            )
    seen, labelled = describe(data, node)
    if other and not left_out and data.name == info.name and seen.splits != info.splits:
        note += f", some of these test {info.noun}s perhaps among them, for the splits are not the run's"
    step = rebuilt.state["progress"]["step"]
    return OpenedCheckpoint(file, step, run_config, info, method, node, data, labelled, device, note)
