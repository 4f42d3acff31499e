"""The plan of a run: what it will do, in lines for the user."""

import torch

from ssl_cli.data.images.files.names import few
from ssl_cli.distributed.group import world_size
from ssl_cli.optim.schedule import effective_lr
from ssl_cli.setup.prepare import Experiment
from ssl_cli.system.device import precision_reason


def plan(e: Experiment, where: str) -> list[tuple[str, str]]:
    """Return what the run will do, as lines of (term, value)."""
    trainer, data = e.config.trainer, e.data
    parameters = sum(p.numel() for p in e.method.parameters() if p.requires_grad)
    backbone = sum(p.numel() for p in e.method.backbone.parameters())
    ranks = f", on each of {world_size()} ranks" if world_size() > 1 else ""
    device = f"{e.device}, {precision_reason(trainer.precision, e.device)}, {torch.get_num_threads()} threads{ranks}"
    epochs = f"{e.steps_per_epoch} an epoch, {e.total_steps / e.steps_per_epoch:g} epochs"
    lines = [
        ("data", what_there_is(e)),
        ("left out", f"{data.skipped} broken files" if data.skipped else ""),
        ("data note", data.note),
        ("targets", what_can_be_predicted(e)),
        ("learns from", what_is_learned_from(e)),
        ("starts from", where_it_starts(e)),
        ("parameters", f"{parameters:,}, of which backbone {backbone:,}"),
        ("device", device),
        ("steps", f"{e.total_steps:,} of batch {trainer.batch_size}; {epochs}"),
        ("images per epoch", what_an_epoch_is(e)),
        ("learning rate", f"{learning_rate(e)}, {e.schedule.warmup_steps} warm-up steps"),
        ("writes to", where),
    ]
    return [(term, value) for term, value in lines if value]


def what_there_is(e: Experiment) -> str:
    """Describe the data set: splits, shape, labels."""
    splits = ", ".join(f"{name} {len(positions):,}" for name, positions in e.data.splits.items())
    labels = f"{len(e.info.classes)} classes, {e.info.labelled:,} labels" if e.info.classes else "no labels"
    return f"{e.data.name}: {splits}; {e.info.shape}; {labels}"


def what_can_be_predicted(e: Experiment) -> str:
    """Return the numeric targets of the images, with how many are not known; "" where there are none."""
    unknown = {name: int(values.isnan().sum()) for name, values in e.data.factors.items()}
    return few(f"{name} ({count:,} unknown)" if count else name for name, count in unknown.items())


def what_is_learned_from(e: Experiment) -> str:
    """Return how many images the method gets, and with which labels."""
    learns, known, more = len(e.loader.positions), len(e.labelled), ""
    if e.propagated is not None:
        sure = f"of a confidence of {e.propagated.min_confidence:g} or more, from {e.propagated.file}"
        more = f" and {len(e.propagated.positions):,} with propagated labels {sure}"
    return {
        "images": f"{learns:,} images, no labels",
        "labels": f"{known:,} labelled images{more}",
        "mixed": f"{known:,} labelled images{more}, and {learns:,} without their labels",
    }[e.method.learns_from]


def where_it_starts(e: Experiment) -> str:
    """Return which weights training starts from; "" for random ones."""
    if e.config.init is None:
        return ""
    trainer = e.config.trainer
    fixed = ", frozen" if trainer.freeze_backbone else ""
    fixed += f", layer decay {trainer.layer_decay:g}" if trainer.layer_decay < 1 else ""
    return f"the backbone of {e.config.init}{fixed}"


def what_an_epoch_is(e: Experiment) -> str:
    """Return how many images an epoch has, and which part of the train split it leaves out or repeats."""
    batch, images = e.config.trainer.batch_size, e.steps_per_epoch * e.config.trainer.batch_size
    if e.method.learns_from == "labels":
        return f"{images:,}: each labelled image about {images / max(1, len(e.loader.positions)):.1f} times"
    if e.method.learns_from == "mixed":
        known = e.loader.labelled_per_batch
        hidden = f"{images - e.steps_per_epoch * known:,} unlabelled"
        return f"{e.steps_per_epoch * known:,} labelled and {hidden}, in each batch {known} and {batch - known}"
    dropped = len(e.data.splits["train"]) - images
    return f"{images:,}" + (f", {dropped} left out, others in each epoch" if dropped else "")


def learning_rate(e: Experiment) -> str:
    """Return the peak learning rate, and how it comes from the one that was set."""
    node, batch = e.config.optimizer, e.config.trainer.batch_size
    scale = node.get("scale", "none")
    scaled = f" ({node.lr:g} scaled, {scale}, to batch {batch})" if scale != "none" else ""
    return f"{effective_lr(node.lr, scale, batch):g}{scaled}"
