"""A model beside its baselines: the raw pixels and the same backbone with random weights, by the same probes."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from ssl_cli.data.images import ImageData
from ssl_cli.data.info import DataInfo
from ssl_cli.data.labels import fingerprint as draw_fingerprint
from ssl_cli.errors import RunError, UserError
from ssl_cli.methods.base import Method
from ssl_cli.probes.base import Probe, Result
from ssl_cli.probes.evaluate import Measured, evaluate
from ssl_cli.probes.features import evaluating, extract, fingerprint
from ssl_cli.probes.metrics import classification, confusion
from ssl_cli.probes.protocol import key
from ssl_cli.probes.subject import FeatureCache, Layer, Pixels, Subject
from ssl_cli.setup import Experiment, build_method
from ssl_cli.trained import Trained

MATRIX = 100  # classes up to which result.json has the confusion matrix; predictions.npz holds what makes any


def measure(e: Experiment, log: Callable[[str], None]) -> Measured:
    """Score a trained experiment on its test split; no labels, no rows."""
    measured = compare(e.config, e.method, e.data, e.info, e.labelled, e.probes, e.device, log, e.config.dataset)
    if measured.rows and (own := own_classifier(e)) is not None:
        measured.add(e.config.name, own)
    return measured


def compare(
    config: DictConfig,
    method: Method,
    data: ImageData,
    info: DataInfo,
    labelled: Tensor,
    probes: dict[str, Probe],
    device: torch.device,
    log: Callable[[str], None],
    node: DictConfig,
    layer: int | None = None,
    cache: FeatureCache | None = None,
) -> Measured:
    """Run the probes on raw pixels, on the backbone as the seed made it, and on the trained one.

    Args:
        config: of the run; builds the random backbone.
        method: trained.
        data: what is probed.
        info: the facts the model was built with; its normalisation is used.
        labelled: [n] positions of the train images whose label may be used.
        probes: name -> probe.
        device: where the backbones run.
        log: gets a line for each thing worth knowing.
        node: the data set's settings, of which ``labels`` and ``label_seed`` name the ``labelled``.
        layer: of the backbones, see `Layer`; None: their end.
        cache: where features are kept, and taken from.

    Returns:
        Rows as documented in the README; none where there is nothing to measure with.

    Raises:
        RunError: a backbone's weights or buffers changed while it was probed.
    """
    random = build_method(config, info).backbone.to(device)
    networks: dict[str, nn.Module] = {
        "pixels": Pixels(info.channels, info.image_size, info.mean, info.std).to(device),
        "random": random if layer is None else Layer(random, layer),
        config.name: method.measured if layer is None else Layer(method.measured, layer),
    }
    models = {name: Subject(net, data.images, info.mean, info.std, device, cache) for name, net in networks.items()}
    before = fingerprint(method.measured)
    where = device if device.type == "cuda" else "cpu"
    budget = str(node.labels) if data.labelled else "all"
    measured = evaluate(models, data, labelled, probes, log, where, budget, node.label_seed, layer)
    if fingerprint(method.measured) != before:
        raise RunError("the backbone changed while it was probed, so the numbers would not be of the frozen model")
    return measured


def own_classifier(e: Experiment) -> Result | None:
    """Score the classifier that the method itself has learned, on the test split; None where it has none."""
    test = e.data.splits["test"]
    test = test[e.data.labels[test] >= 0]
    features = extract(e.method.measured, e.data.images, test, e.info.mean, e.info.std, e.device)
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
    return Result("classifier", budget, metrics, settings, predicted=predicted)


def backbone_name(config: DictConfig) -> str:
    """Return for example ``convnet`` or ``resnet18``."""
    return config.backbone.get("arch") or config.backbone["_target_"].split(".")[-2]


def probe_trained(
    trained: Trained, probe: Probe, log: Callable[[str], None], layer: int | None = None, keep: bool = True
) -> tuple[Measured, dict[str, Any]]:
    """Probe a trained model, frozen, beside its baselines.

    Args:
        trained: the model and the images.
        probe: the downstream task.
        log: gets a line for each thing worth knowing.
        layer: see `compare`.
        keep: keep the features in the run that the checkpoint is of, for the next probe.

    Returns:
        What was measured, and the content of ``result.json``.
    """
    t = trained
    if probe.needs == "labels" and len(t.labelled) == 0:
        raise UserError(
            f"{t.data.name} has no labels to probe with; write dataset=folder dataset.root=DIR with one folder a class"
        )
    run = t.file.parent.parent
    in_run = t.file.parent.name == "checkpoints" and (run / "config.yaml").is_file()
    cache = FeatureCache(run / "features") if keep and in_run else None
    before = fingerprint(t.method.measured)
    measured = compare(
        t.config, t.method, t.data, t.info, t.labelled, {probe.name: probe}, t.device, log, t.node, layer, cache
    )
    if cache is not None and cache.hits + cache.misses:
        how = "features computed and kept in" if cache.misses else "features from cache:"
        log(f"{how} {cache.directory} ({cache.size() / 2**20:.1f} MiB)")
    return measured, {
        "checkpoint": str(t.file),
        "step": t.step,
        "method": t.config.name,
        "backbone": backbone_name(t.config),
        "dataset": t.data.name,
        "splits": measured.splits,
        "probe": probe.name,
        "frozen": {"before": before, "after": fingerprint(t.method.measured)},
        "results": measured.rows,
        "details": details(measured, t.data.classes),
    }


def details(measured: Measured, classes: Sequence[str]) -> dict[str, Any]:
    """Return for each row its accuracy per class and its confusion matrix; of many classes no matrix.

    Returns:
        ``{"classes": names, "MODEL/PROBE/LABELS": {"class_accuracy": [C], "confusion": [C][C]}}``, both the mean over
        draws; row = true class; None where a class has no test image.
    """
    found: dict[str, Any] = {"classes": list(classes)}
    truth = torch.as_tensor(measured.arrays.get("labels", []), dtype=torch.int64)
    for row in measured.rows:
        if (predicted := measured.arrays.get(key(row))) is not None and row["target"] is None:
            matrix = confusion(torch.as_tensor(predicted, dtype=torch.int64), truth, len(classes))
            share = matrix.diagonal() / matrix.sum(1)
            entry: dict[str, Any] = {"class_accuracy": [None if s != s else s for s in share.tolist()]}
            if len(classes) <= MATRIX:
                entry["confusion"] = matrix.tolist()
            found[key(row)] = entry
    return found
