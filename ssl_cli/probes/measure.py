"""A model beside its baselines: raw features and the same backbone with random weights, by the same probes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone, evaluating
from ssl_cli.backbones.build import build_backbone
from ssl_cli.data.base import Data
from ssl_cli.data.info import DataInfo
from ssl_cli.data.labels import fingerprint as draw_fingerprint
from ssl_cli.errors import RunError, UserError
from ssl_cli.methods.base import Method
from ssl_cli.probes.base import Probe, Result
from ssl_cli.probes.frozen.cache import FeatureCache
from ssl_cli.probes.frozen.features import extract, fingerprint
from ssl_cli.probes.frozen.networks import Layer
from ssl_cli.probes.frozen.subject import FrozenModel
from ssl_cli.probes.kept import KeptScores
from ssl_cli.probes.measurement import Measurement
from ssl_cli.probes.runner import run_probes
from ssl_cli.probes.scores.metrics import classification, confusion
from ssl_cli.probes.scores.protocol import BEFORE, key
from ssl_cli.setup.prepare import Experiment
from ssl_cli.setup.restore import START, OpenedCheckpoint, before_training

MATRIX = 100  # most classes with a confusion matrix in result.json; predictions.npz has the data for any


class Trained(Protocol):
    """A trained model and the inputs that it is measured on: an `Experiment` at its end, or an opened checkpoint."""

    config: DictConfig  # of the run; builds the baseline with random weights
    method: Method
    info: DataInfo  # the facts that the model was built with; its normalisation holds for all inputs
    data: Data  # the data to probe
    node: DictConfig  # the data set's settings; its ``labels`` and ``label_seed`` give ``labelled``
    labelled: Tensor  # [n] positions of the train inputs whose label may be used
    device: torch.device  # where the backbones run


def measure(e: Experiment, log: Callable[[str], None], run: Path | None = None) -> Measurement:
    """Score a trained experiment on its test split; without labels there are no rows.

    Args:
        e: the experiment, trained.
        log: gets a line for each notice.
        run: its directory, which may hold the network as it was before training.
    """
    start = run and before_training(run, e.device, e.config.trusted_modules, log)
    keep = e.config.get("keep_baselines", True)
    measurement = measure_with_baselines(e, e.probes, log, start=start, keep=keep)
    if measurement.rows and (own := own_classifier(e, measurement.features)) is not None:
        measurement.add(e.config.name, own, at=measurement.test[e.data.labels[measurement.test] >= 0])
    return measurement


def measure_with_baselines(
    t: Trained,
    probes: Mapping[str, Probe],
    log: Callable[[str], None],
    layer: int | None = None,
    cache: FeatureCache | None = None,
    start: Backbone | None = None,
    keep: bool = False,
) -> Measurement:
    """Run the probes on raw features and on the backbone: as the seed made it, before training, and as it is.

    Args:
        t: the trained model and the inputs.
        probes: name -> probe.
        log: gets a line for each notice.
        layer: of the backbones, see `Layer`; None: their end.
        cache: keeps features for the next probe.
        start: the backbone before training, on ``device``; None: it was random, or training did not change it.
        keep: keep the baselines' scores in the user's cache directory, and take those that are there.

    Returns:
        Rows as `Probe.run` documents them; none if there is nothing to measure with.

    Raises:
        RunError: a backbone's weights or buffers changed while it was probed.
    """
    method, info, device = t.method, t.info, t.device
    node = OmegaConf.to_container(t.config.backbone, resolve=True)
    random = build_backbone(node, info, t.config.seed, pretrained=False).to(device)
    raw = t.data.raw(info).to(device)
    trained = {"random": random, **({} if start is None else {BEFORE: start}), t.config.name: method.measured}
    networks: dict[str, nn.Module] = {
        raw.name: raw,
        **{name: network if layer is None else Layer(network, layer) for name, network in trained.items()},
    }
    models = {
        name: FrozenModel(net, t.data.inputs, info, device, cache, t.data.cut_from) for name, net in networks.items()
    }
    before = fingerprint(method.measured)
    where = device if device.type == "cuda" else "cpu"
    budget = str(t.node.labels) if t.data.labelled else "all"
    kept = None
    if keep:
        kept = KeptScores(t.data, info, t.labelled, (device.type, budget, t.node.label_seed, layer), node)
    measurement = run_probes(models, t.data, t.labelled, probes, log, where, budget, t.node.label_seed, layer, kept)
    if kept is not None and (line := kept.told()):
        log(line)
    if fingerprint(method.measured) != before:
        raise RunError("the backbone changed while it was probed, so the numbers would not be of the frozen model")
    own = models[t.config.name]
    measurement.images_per_second = own.computed / own.seconds if own.seconds else None
    return measurement


def own_classifier(e: Experiment, features_of: Callable[[Tensor], Tensor] | None = None) -> Result | None:
    """Score the method's own classifier on the test split; None if it has none.

    Args:
        e: the experiment, trained.
        features_of: the backbone's features of inputs at positions [n]; None: they are computed.
    """
    test = e.data.splits["test"]
    test = test[e.data.labels[test] >= 0]
    if features_of is None:
        features = extract(e.method.measured, e.data.inputs, test, e.info, e.device)
    else:
        features = features_of(test)
    with evaluating(e.method), torch.inference_mode():
        logits = e.method.predict(features.to(e.device))
    if logits is None:
        return None
    confidence, predicted = (part[None].cpu() for part in logits.float().softmax(1).max(1))
    metrics = classification(predicted, e.data.labels[test], len(e.info.classes), confidence)
    budget = str(e.config.dataset.labels)
    settings = {"train_images": len(e.labelled)}
    if budget != "all":
        settings |= {"label_seeds": [e.config.dataset.label_seed], "label_fingerprint": draw_fingerprint(e.labelled)}
    chosen = {}  # it has the protocol of all models of these human labels
    if (more := e.propagated) is not None:
        chosen = {"propagated_labels": [len(more.positions)], "min_confidence": [more.min_confidence]}
    return Result("classifier", budget, metrics, settings, chosen=chosen, predicted=predicted)


def backbone_name(config: DictConfig) -> str:
    """Return for example ``convnet`` or ``resnet18``."""
    return config.backbone.get("arch") or config.backbone.get("name") or config.backbone["_target_"].split(".")[-2]


def probe_trained(
    trained: OpenedCheckpoint,
    probe: Probe,
    log: Callable[[str], None],
    layer: int | None = None,
    keep: bool = True,
    keep_baselines: bool = False,
) -> tuple[Measurement, dict[str, Any]]:
    """Probe a trained model, frozen, beside its baselines.

    Args:
        trained: the model and the inputs.
        probe: the downstream task.
        log: gets a line for each notice.
        layer: see `measure_with_baselines`.
        keep: keep the features in the checkpoint's run, for the next probe.
        keep_baselines: see `measure_with_baselines`.

    Returns:
        The measurement, and the content of ``result.json``.
    """
    t = trained
    if probe.needs in ("labels", "mixed") and len(t.labelled) == 0:
        raise UserError(
            f"{t.data.name} has no labels to probe with; write dataset=folder dataset.root=DIR with one folder a class"
        )
    run = t.file.parent.parent
    in_run = t.file.parent.name == "checkpoints" and (run / "config.yaml").is_file()
    cache = FeatureCache(run / "features") if keep and in_run else None
    before = fingerprint(t.method.measured)
    start = None
    if in_run and t.file.stem != START:
        start = before_training(run, t.device, t.config.trusted_modules, log)
    measurement = measure_with_baselines(t, {probe.name: probe}, log, layer, cache, start, keep_baselines)
    if cache is not None and (line := cache.told()):
        log(line)
    return measurement, {
        "checkpoint": str(t.file),
        "step": t.step,
        "method": t.config.name,
        "backbone": backbone_name(t.config),
        "dataset": t.data.name,
        "splits": measurement.splits,
        "probe": probe.name,
        "frozen": {"before": before, "after": fingerprint(t.method.measured)},
        "results": measurement.rows,
        "details": details(measurement, t.data.classes),
    }


def details(measurement: Measurement, classes: Sequence[str]) -> dict[str, Any]:
    """Return for each row its accuracy per class and its confusion matrix; with many classes no matrix.

    Returns:
        ``{"classes": names, "MODEL/PROBE/LABELS": {"class_accuracy": [C], "confusion": [C][C]}}``, both the mean over
        draws; row = true class; None if a class has no test input.
    """
    found: dict[str, Any] = {"classes": list(classes)}
    truth = torch.as_tensor(measurement.arrays.get("labels", []), dtype=torch.int64)
    for row in measurement.rows:
        if (predicted := measurement.arrays.get(key(row))) is not None and row["target"] is None:
            guess = torch.as_tensor(predicted, dtype=torch.int64)
            right = torch.bincount(truth, (guess == truth).double().mean(0), len(classes))
            share = right / torch.bincount(truth, minlength=len(classes))
            entry: dict[str, Any] = {"class_accuracy": [None if s != s else s for s in share.tolist()]}
            if len(classes) <= MATRIX:
                entry["confusion"] = confusion(guess, truth, len(classes)).tolist()
            found[key(row)] = entry
    return found
