"""From a checked config to everything that a run needs, and the plan that tells the user what will happen."""

from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from ssl_cli.backbones.base import Backbone
from ssl_cli.build import instantiate
from ssl_cli.data.images import ImageData, pixel_stats, split_fingerprint
from ssl_cli.data.info import DataInfo
from ssl_cli.data.labels import draw
from ssl_cli.data.load import load
from ssl_cli.data.loader import Loader
from ssl_cli.device import choose_device, choose_precision, precision_reason, resident, set_threads
from ssl_cli.distributed import world_size
from ssl_cli.errors import UserError
from ssl_cli.methods.base import Method
from ssl_cli.norms import synchronise_norms
from ssl_cli.optim import layer_decayed
from ssl_cli.pretext.base import Pretext
from ssl_cli.probes.base import Probe
from ssl_cli.schedule import effective_lr


@dataclass
class Experiment:
    """All parts of one run, built and fitting together, before anything is trained or written."""

    config: DictConfig
    data: ImageData
    info: DataInfo
    labelled: Tensor  # [n] positions of the train images whose label may be used
    device: torch.device
    precision: torch.dtype
    method: Method
    pretext: Pretext
    probes: dict[str, Probe]
    loader: Loader
    optimizer: torch.optim.Optimizer
    schedule: Any  # step -> factor of the learning rate
    steps_per_epoch: int
    total_steps: int


def prepare(config: DictConfig, resuming: bool = False) -> Experiment:
    """Load the data and build every part; weights that a checkpoint will bring (``resuming``) are not fetched first.

    Raises:
        UserError: for anything in the config that only the data can show to be wrong.
    """
    set_threads(config.trainer.threads)
    device = choose_device(config.trainer.device)
    # What needs no images is built first: a mistake in it should not wait for 60,000 files.
    instantiate(config.augment)
    probes = {name: instantiate(node) for name, node in config.probes.items()}
    effective_lr(config.optimizer.lr, config.optimizer.get("scale", "none"), config.trainer.batch_size)
    node = OmegaConf.to_container(config.dataset, resolve=True)
    if world_size() > 1 and "storage_limit" in node:
        node["storage_limit"] = 0  # decoded once, to a file that all ranks of a machine map
    data = load(node)
    info, labelled = describe(data, config.dataset)
    trainer, train = config.trainer, data.splits["train"]
    if trainer.batch_size > len(train):
        raise UserError(
            f"trainer.batch_size={trainer.batch_size} is more than the {len(train)} images of the train split; "
            f"write trainer.batch_size={1 << (len(train).bit_length() - 1)} or less"
        )
    steps_per_epoch = len(train) // trainer.batch_size
    total_steps = trainer.max_steps or trainer.epochs * steps_per_epoch
    schedule = instantiate(config.schedule, total_steps=total_steps, steps_per_epoch=steps_per_epoch)

    initial = None
    if config.init is not None and not resuming:
        from ssl_cli.initial import initial_weights

        initial = initial_weights(config, info)
    method = build_method(config, info, initial).to(device)
    if trainer.freeze_backbone:
        if config.init is None:
            raise UserError("trainer.freeze_backbone=true would keep random weights; write init=RUN beside it")
        method.backbone.requires_grad_(False)
    if trainer.channels_last:
        method = method.to(memory_format=torch.channels_last)
    if trainer.synchronise_norms and world_size() > 1:
        synchronise_norms(method)
    method.check_batch(trainer.batch_size // trainer.accumulate)
    sees_labels = method.learns_from in ("labels", "mixed")
    visible = torch.full_like(data.labels, -1)
    if sees_labels:
        visible[labelled] = data.labels[labelled]
    mixed = {}
    if method.learns_from == "mixed":
        count = labelled_per_batch(trainer.batch_size, trainer.accumulate * world_size(), method.mu)
        mixed = {"labelled": labelled, "labelled_per_batch": count}
    loader = Loader(
        resident(data.images, device),
        visible,
        labelled if method.learns_from == "labels" else train,
        batch_size=trainer.batch_size,
        steps_per_epoch=steps_per_epoch,
        seed=config.seed,
        device=device,
        parts=trainer.accumulate,
        **mixed,
    )
    return Experiment(
        config=config,
        data=data,
        info=info,
        labelled=labelled,
        device=device,
        precision=choose_precision(trainer.precision, device),
        method=method,
        pretext=build_pretext(config, info),
        probes=probes,
        loader=loader,
        optimizer=instantiate(
            config.optimizer,
            param_groups=layer_decayed(method.param_groups(), method.backbone.blocks(), trainer.layer_decay),
            batch_size=trainer.batch_size,
        ),
        schedule=schedule,
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
    )


def describe(data: ImageData, node: DictConfig) -> tuple[DataInfo, Tensor]:
    """Return what models must know of the data, and the positions [n] whose label the budget grants."""
    train = data.splits["train"]
    labelled = (
        train[draw(data.labels[train], str(node.labels), node.label_seed, data.classes)] if data.labelled else train[:0]
    )
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
        splits=split_fingerprint(data),
    )
    return info, labelled


def normalisation(data: ImageData, node: DictConfig) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std per channel: those that the config names, or the train split's."""
    measured = pixel_stats(data)
    given = [tuple(node[key]) if node.get(key) is not None else None for key in ("mean", "std")]
    for key, values in zip(("mean", "std"), given, strict=True):
        numbers = values is None or all(isinstance(value, (int, float)) for value in values)
        if not numbers or (values is not None and (len(values) != data.channels or key == "std" and min(values) <= 0)):
            shown = ",".join(f"{value:.3f}" for value in measured[key == "std"])
            raise UserError(
                f"dataset.{key}={list(values)} is not a {'positive ' * (key == 'std')}number for each of the "
                f"{data.channels} channels; measured on train: dataset.{key}=[{shown}]"
            )
    return given[0] or measured[0], given[1] or measured[1]


def labelled_per_batch(batch_size: int, parts: int, mu: int) -> int:
    """Return how many images of a batch are labelled where ``mu`` times as many are not.

    Raises:
        UserError: each of the ``parts`` of a batch cannot hold them in this ratio.
    """
    unit = parts * (1 + mu)
    if batch_size % unit:
        fitting = max(unit, round(batch_size / unit) * unit)
        raise UserError(
            f"trainer.batch_size={batch_size} cannot hold {mu} unlabelled images for each labelled one (method.mu={mu})"
            f"{f' in each of {parts} parts' if parts > 1 else ''}; write trainer.batch_size={fitting}"
        )
    return batch_size // (1 + mu)


def build_pretext(config: DictConfig, info: DataInfo) -> Pretext:
    """Build the pretext with the run's recipe of augmentations, or with the one that it brings itself."""
    own = config.pretext.get("augment")
    return instantiate(config.pretext, augment=instantiate(config.augment if own is None else own), data=info)


def build_method(config: DictConfig, info: DataInfo, initial: dict[str, Tensor] | None = None) -> Method:
    """Build backbone and method with the weights that ``seed`` gives, or the backbone with the ``initial`` ones."""
    torch.manual_seed(config.seed)
    backbone: Backbone = instantiate(config.backbone, in_channels=info.channels)
    if info.image_size < backbone.min_size:
        raise UserError(
            f"this backbone needs images of at least {backbone.min_size} pixels, {info.name} has {info.image_size}; "
            f"write dataset.storage_size={backbone.min_size} or backbone=convnet"
        )
    if initial is not None:  # before the method makes copies of it
        backbone.load_state_dict(initial)
    # A method that predicts whatever the pretext makes up builds its head for it.
    predicts = "pseudo_labels" in config.method.get("_needs_", [])
    target = {"target": build_pretext(config, info).target} if predicts else {}
    return instantiate(config.method, backbone=backbone, data=info, **target)


def plan(experiment: Experiment, where: str) -> list[tuple[str, str]]:
    """Return what the run will do, as lines of (term, value)."""
    e, trainer, node = experiment, experiment.config.trainer, experiment.config.optimizer
    data, info = e.data, e.info
    parameters = sum(p.numel() for p in e.method.parameters() if p.requires_grad)
    backbone = sum(p.numel() for p in e.method.backbone.parameters())
    splits = ", ".join(f"{name} {len(positions):,}" for name, positions in data.splits.items())
    labels = f"{len(info.classes)} classes, {info.labelled:,} labels" if info.classes else "no labels"
    images = e.steps_per_epoch * trainer.batch_size
    dropped = len(data.splits["train"]) - images
    epoch = f"{images:,}" + (f", {dropped} left out, others in each epoch" if dropped else "")
    if e.method.learns_from == "labels":
        epoch = f"{images:,}: each labelled image about {images / max(1, len(e.loader.positions)):.1f} times"
    if e.method.learns_from == "mixed":
        known = e.loader.labelled_per_batch
        epoch = f"{e.steps_per_epoch * known:,} labelled and {images - e.steps_per_epoch * known:,} unlabelled"
        epoch += f", in each batch {known} and {trainer.batch_size - known}"
    learns = len(e.loader.positions)
    sources = {
        "images": f"{learns:,} images, no labels",
        "labels": f"{learns:,} labelled images",
        "mixed": f"{info.labelled:,} labelled images, and {learns:,} without their labels",
    }
    lr = effective_lr(node.lr, node.get("scale", "none"), trainer.batch_size)
    scaling = (
        f" ({node.lr:g} scaled, {node.scale}, to batch {trainer.batch_size})"
        if node.get("scale", "none") != "none"
        else ""
    )
    epochs = e.total_steps / e.steps_per_epoch
    ranks = f", on each of {world_size()} ranks" if world_size() > 1 else ""
    if e.config.init is not None:
        fixed = ", frozen" if trainer.freeze_backbone else ""
        fixed += f", layer decay {trainer.layer_decay:g}" if trainer.layer_decay < 1 else ""
    lines = [
        ("data", f"{data.name}: {splits}; {info.channels}x{info.image_size}x{info.image_size} pixels; {labels}"),
        ("learns from", sources[e.method.learns_from]),
        *([("starts from", f"the backbone of {e.config.init}{fixed}")] if e.config.init is not None else []),
        ("parameters", f"{parameters:,}, of which backbone {backbone:,}"),
        (
            "device",
            f"{e.device}, {precision_reason(trainer.precision, e.device)}, {torch.get_num_threads()} threads{ranks}",
        ),
        ("steps", f"{e.total_steps:,} of batch {trainer.batch_size}; {e.steps_per_epoch} an epoch, {epochs:g} epochs"),
        ("images per epoch", epoch),
        ("learning rate", f"{lr:g}{scaling}, {e.schedule.warmup_steps} warm-up steps"),
        ("writes to", where),
    ]
    if data.note:
        lines.insert(1, ("data note", data.note))
    if data.skipped:
        lines.insert(1, ("left out", f"{data.skipped} broken files"))
    return lines


def contents(e: Experiment) -> dict[str, Any]:
    """Return what rebuilds the model from a checkpoint alone: config, data, facts about the data."""
    return {"config": OmegaConf.to_container(e.config, resolve=True), "data": e.info.to_dict()}
