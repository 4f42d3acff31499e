"""From a checked config to everything that a run needs, and the plan that tells the user what will happen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from ssl_cli.backbones.adapt import parse
from ssl_cli.backbones.norms import check_splits
from ssl_cli.config.build import instantiate
from ssl_cli.data.base import Data
from ssl_cli.data.dataset import load
from ssl_cli.data.describe import describe
from ssl_cli.data.info import DataInfo
from ssl_cli.data.loader import Loader
from ssl_cli.data.pseudo_labels import KEY
from ssl_cli.distributed.group import world_size
from ssl_cli.distributed.norms import synchronise_norms
from ssl_cli.errors import UserError
from ssl_cli.methods.base import Method
from ssl_cli.optim.groups import layer_decayed
from ssl_cli.optim.schedule import effective_lr
from ssl_cli.pretext.base import Pretext
from ssl_cli.pretext.progressive import ViewSizes
from ssl_cli.setup.initial import initial_weights
from ssl_cli.setup.parts import build_method, build_pretext, labelled_per_batch, trains
from ssl_cli.setup.propagated import Propagated, propagated
from ssl_cli.system.device import choose_device, choose_precision, resident, set_threads
from ssl_cli.system.transfer import striped_weights


@dataclass
class Experiment:
    """All parts of one run, built and fitting together, before anything is trained or written."""

    config: DictConfig
    data: Data
    info: DataInfo
    labelled: Tensor  # [n] positions of the train inputs whose label may be used
    propagated: Propagated | None  # labels of further ones, which only training uses
    device: torch.device
    precision: torch.dtype
    method: Method
    pretext: Pretext
    probes: dict[str, Any]  # name -> probe
    loader: Loader
    optimizer: torch.optim.Optimizer
    schedule: Any  # step -> factor of the learning rate
    view_sizes: ViewSizes  # step -> side of the views
    steps_per_epoch: int
    total_steps: int

    @property
    def node(self) -> DictConfig:
        """The settings of the data set."""
        return self.config.dataset


def prepare(config: DictConfig, resuming: bool = False, kept: Mapping[str, Any] | None = None) -> Experiment:
    """Load the data and build every part.

    Args:
        config: of the run.
        resuming: weights that a checkpoint will bring are not fetched first.
        kept: ``labels.json`` of the run that goes on.

    Raises:
        UserError: for anything in the config that only the data can show to be wrong.
    """
    trainer = config.trainer
    set_threads(trainer.threads)
    device = choose_device(trainer.device)
    probes = build_early(config)
    data = load(data_settings(config), config.pretext.get("size"))
    info, labelled = describe(data, config.dataset)
    more = propagated(config.dataset, data, labelled, (kept or {}).get("propagated"))
    steps_per_epoch, total_steps = count_steps(config, len(data.splits["train"]), data.noun)
    schedule = instantiate(config.schedule, total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    method, pretext = prepare_method(config, info, device, resuming), build_pretext(config, info)
    view_sizes = ViewSizes(trainer.progressive or (), pretext.view_size, steps_per_epoch, total_steps)
    view_sizes.check(method.backbone, pretext, method)
    return Experiment(
        config=config,
        data=data,
        info=info,
        labelled=labelled,
        propagated=more,
        device=device,
        precision=choose_precision(trainer.precision, device),
        method=method,
        pretext=pretext,
        probes=probes,
        loader=build_loader(config, data, labelled, more, method, device, steps_per_epoch),
        optimizer=instantiate(
            config.optimizer,
            param_groups=layer_decayed(method.param_groups(), method.backbone.blocks(), trainer.layer_decay),
            batch_size=trainer.batch_size,
        ),
        schedule=schedule,
        view_sizes=view_sizes,
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
    )


def build_early(config: DictConfig) -> dict[str, Any]:
    """Build what needs no data, and return the probes: a mistake in it should not wait for 60,000 files."""
    instantiate(config.augment)
    effective_lr(config.optimizer.lr, config.optimizer.get("scale", "none"), config.trainer.batch_size)
    return {name: instantiate(node) for name, node in config.probes.items() if node is not None}


def data_settings(config: DictConfig) -> dict[str, Any]:
    """Return the settings of the data set; on several ranks it is stored once, in a file that all of a machine map."""
    node = OmegaConf.to_container(config.dataset, resolve=True)
    if world_size() > 1 and "storage_limit" in node:
        node["storage_limit"] = 0
    return node


def count_steps(config: DictConfig, train_size: int, noun: str) -> tuple[int, int]:
    """Return the steps of an epoch, and of the whole training: 0 where nothing is trained.

    Raises:
        UserError: a batch is larger than the train split.
    """
    trainer = config.trainer
    if train_size < 2:
        raise UserError(f"the train split has {train_size} {noun}{'s' * (train_size != 1)}, and a batch at least 2")
    if not trains(config):
        return max(1, train_size // trainer.batch_size), 0
    if trainer.batch_size > train_size:
        raise UserError(
            f"trainer.batch_size={trainer.batch_size} is more than the {train_size} {noun}s of the train split; "
            f"write trainer.batch_size={1 << (train_size.bit_length() - 1)} or less"
        )
    steps_per_epoch = train_size // trainer.batch_size
    return steps_per_epoch, trainer.max_steps or trainer.epochs * steps_per_epoch


def prepare_method(config: DictConfig, info: DataInfo, device: torch.device, resuming: bool) -> Method:
    """Build the method with the weights that it starts from, on its device, laid out and frozen as it will train.

    Raises:
        UserError: these weights do not fit, random ones would be frozen, or the batch does not suit the method.
    """
    trainer = config.trainer
    check_adapt(config)
    start = initial_weights(config, info) if config.init is not None and not resuming else None
    method = build_method(config, info, start, pretrained=config.init is None and not resuming).to(device)
    if trainer.freeze_backbone:
        if config.init is None and config.backbone.get("weights") is None:
            raise UserError(
                "trainer.freeze_backbone=true would keep random weights; write init=RUN or backbone.weights=FILE, too"
            )
        method.backbone.requires_grad_(False)
    if trainer.channels_last:
        method = striped_weights(method)
    check_splits(method, trainer.batch_size // trainer.accumulate, world_size())
    if trainer.synchronise_norms and world_size() > 1:
        synchronise_norms(method)
    method.check_batch(trainer.batch_size // trainer.accumulate)
    return method


def check_adapt(config: DictConfig) -> None:
    """Raise ``UserError`` where a part of random weights would be kept as it is."""
    how = config.backbone.get("adapt", "full")
    parse(how)
    if how != "full" and config.init is None and config.backbone.get("weights") is None:
        raise UserError(f"backbone.adapt={how} would keep random weights; write init=RUN or backbone.weights=FILE, too")
    if how != "full" and config.trainer.freeze_backbone:
        raise UserError(f"backbone.adapt={how} trains what trainer.freeze_backbone=true keeps; leave one of them out")


def build_loader(
    config: DictConfig,
    data: Data,
    labelled: Tensor,
    more: Propagated | None,
    method: Method,
    device: torch.device,
    steps_per_epoch: int,
) -> Loader:
    """Build the loader of what the method learns from; labels that it may not see are hidden here.

    Raises:
        UserError: there are propagated labels, and the method learns from none.
    """
    trainer = config.trainer
    visible = torch.full_like(data.labels, -1)
    if method.learns_from in ("labels", "mixed"):
        visible[labelled] = data.labels[labelled]
        if more is not None:
            visible[more.positions] = more.labels
            labelled = torch.cat([labelled, more.positions]).sort().values
    elif more is not None:
        raise UserError(f"{config.name} learns from no label; leave {KEY} out, or write method=supervised")
    mixed = {}
    if method.learns_from == "mixed":
        count = labelled_per_batch(trainer.batch_size, trainer.accumulate * world_size(), method.mu, data.noun)
        mixed = {"labelled": labelled, "labelled_per_batch": count}
    return Loader(
        resident(data.cut_from, device),
        visible,
        labelled if method.learns_from == "labels" else data.splits["train"],
        batch_size=trainer.batch_size,
        steps_per_epoch=steps_per_epoch,
        seed=config.seed,
        device=device,
        parts=trainer.accumulate,
        **mixed,
    )
