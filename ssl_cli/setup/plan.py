"""The plan of a run: what it will do, in lines for the user."""

import torch
from omegaconf import OmegaConf

from ssl_cli.config.overrides import flat
from ssl_cli.data import copies
from ssl_cli.data.images.files.names import few
from ssl_cli.distributed.group import world_size
from ssl_cli.optim.schedule import effective_lr
from ssl_cli.setup.prepare import Experiment
from ssl_cli.system.device import precision_reason

TRAINED = "for those of others write backbone.weights=FILE, for a run's init=RUN"


def plan(e: Experiment, where: str) -> list[tuple[str, str]]:
    """Return what the run will do, as lines of (term, value)."""
    data, origin = e.data, e.method.backbone.origin
    parameters = sum(p.numel() for p in e.method.parameters() if p.requires_grad)
    backbone = sum(p.numel() for p in e.method.backbone.parameters())
    ranks = f", on each of {world_size()} ranks" if world_size() > 1 else ""
    precision = precision_reason(e.config.trainer.precision, e.device)
    device = f"{e.device}, {precision}, {torch.get_num_threads()} threads{ranks}"
    lines = [
        ("data", what_there_is(e)),
        ("stored", how_it_is_stored(e)),
        ("left out", f"{data.skipped:,} broken file{'s' * (data.skipped != 1)}" if data.skipped else ""),
        ("data note", data.note),
        ("groups", what_belongs_together(e)),
        ("exact copies", copies.described(e.data)),
        ("targets", what_can_be_predicted(e)),
        ("learns from", what_is_learned_from(e) if e.total_steps else "nothing: the network stays as it is"),
        ("starts from", where_it_starts(e)),
        ("network", which_network(e)),
        *(origin.lines(e.info) if origin is not None else []),
        ("parameters", f"{parameters:,}, of which backbone {backbone:,}" if e.total_steps else f"{backbone:,}"),
        ("device", device),
        *(how_it_trains(e) if e.total_steps else []),
        ("writes to", where),
        ("tracked by", ", ".join(map(str, e.config.get("tracker") or ()))),
    ]
    return [(term, value) for term, value in lines if value]


def how_it_trains(e: Experiment) -> list[tuple[str, str]]:
    """Return the lines of the plan that are about steps."""
    epochs = f"{e.steps_per_epoch} an epoch, {e.total_steps / e.steps_per_epoch:g} epochs"
    return [
        ("steps", f"{e.total_steps:,} of batch {e.config.trainer.batch_size}; {epochs}"),
        ("view sizes", str(e.view_sizes) if e.view_sizes.stages else ""),
        (f"{e.data.noun}s per epoch", what_an_epoch_is(e)),
        ("learning rate", f"{learning_rate(e)}, {e.schedule.warmup_steps} warm-up steps"),
    ]


def what_there_is(e: Experiment) -> str:
    """Describe the data set: splits, shape, labels."""
    splits = ", ".join(f"{name} {len(positions):,}" for name, positions in e.data.splits.items())
    labels = f"{len(e.info.classes)} classes, {e.info.labelled:,} labels" if e.info.classes else "no labels"
    return f"{e.data.name}: {splits}; {e.info.shape}; {labels}"


def how_it_is_stored(e: Experiment) -> str:
    """Return how the inputs are stored, what that takes, and what views are cut from where that is not obvious."""
    return e.data.storage + e.data.how_views_are_cut(e.pretext.cuts_photos)


def what_belongs_together(e: Experiment) -> str:
    """Return how many groups of inputs each split has; "" where there are none."""
    if e.data.groups is None:
        return ""
    counts = {name: e.data.groups[at] for name, at in e.data.splits.items()}
    return ", ".join(f"{name} {len(groups[groups >= 0].unique()):,}" for name, groups in counts.items())


def what_can_be_predicted(e: Experiment) -> str:
    """Return the numeric targets of the inputs, with how many are not known; "" where there are none."""
    unknown = {name: int(values.isnan().sum()) for name, values in e.data.factors.items()}
    return few(f"{name} ({count:,} unknown)" if count else name for name, count in unknown.items())


def what_is_learned_from(e: Experiment) -> str:
    """Return how many inputs the method gets, and with which labels."""
    learns, known, more, noun = len(e.loader.positions), len(e.labelled), "", e.data.noun
    if e.propagated is not None:
        sure = f"of a confidence of {e.propagated.min_confidence:g} or more, from {e.propagated.file}"
        more = f" and {len(e.propagated.positions):,} with propagated labels {sure}"
    return {
        "images": f"{learns:,} {noun}s, no labels",
        "labels": f"{known:,} labelled {noun}s{more}",
        "mixed": f"{known:,} labelled {noun}s{more}, and {learns:,} without their labels",
    }[e.method.learns_from]


def where_it_starts(e: Experiment) -> str:
    """Return which run's weights are begun with, or that random ones stay; "" where nothing is to be said."""
    if e.config.init is None:
        untrained = not e.total_steps and e.config.backbone.get("weights") is None
        return f"random weights, which nobody has trained: {TRAINED}" if untrained else ""
    trainer = e.config.trainer
    fixed = ", frozen" if trainer.freeze_backbone else ""
    fixed += f", layer decay {trainer.layer_decay:g}" if trainer.layer_decay < 1 else ""
    return f"the backbone of {e.config.init}{fixed}"


def which_network(e: Experiment) -> str:
    """Return the class of the backbone, and what its settings say in words (``norm=group``), its weights aside."""
    settings = flat(OmegaConf.to_container(e.config.backbone, resolve=True))
    apart = ("_target_", "adapt", "weights")
    words = [f"{k}={v}" for k, v in settings.items() if isinstance(v, str) and k.rpartition(".")[2] not in apart]
    return ", ".join([settings["_target_"].rpartition(".")[2], *words])


def what_an_epoch_is(e: Experiment) -> str:
    """Return how many inputs an epoch has, and which part of the train split it leaves out or repeats."""
    batch, inputs = e.config.trainer.batch_size, e.steps_per_epoch * e.config.trainer.batch_size
    if e.method.learns_from == "labels":
        return f"{inputs:,}: each labelled {e.data.noun} about {inputs / max(1, len(e.loader.positions)):.1f} times"
    if e.method.learns_from == "mixed":
        known = e.loader.labelled_per_batch
        hidden = f"{inputs - e.steps_per_epoch * known:,} unlabelled"
        return f"{e.steps_per_epoch * known:,} labelled and {hidden}, in each batch {known} and {batch - known}"
    dropped = len(e.data.splits["train"]) - inputs
    return f"{inputs:,}" + (f", {dropped} left out, others in each epoch" if dropped else "")


def learning_rate(e: Experiment) -> str:
    """Return the peak learning rate, and how it comes from the one that was set."""
    node, batch = e.config.optimizer, e.config.trainer.batch_size
    scale = node.get("scale", "none")
    scaled = f" ({node.lr:g} scaled, {scale}, to batch {batch})" if scale != "none" else ""
    return f"{effective_lr(node.lr, scale, batch):g}{scaled}"
