"""A model beside its baselines: the raw pixels and the same backbone with random weights, by the same probes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from ssl_cli import checkpoint
from ssl_cli.build import check_targets, instantiate
from ssl_cli.data.images import ImageData
from ssl_cli.data.info import DataInfo
from ssl_cli.data.labels import fingerprint as draw_fingerprint
from ssl_cli.data.load import load
from ssl_cli.device import choose_device
from ssl_cli.errors import RunError, UserError
from ssl_cli.methods.base import Method
from ssl_cli.probes.base import Result
from ssl_cli.probes.evaluate import Measured, evaluate
from ssl_cli.probes.features import evaluating, extract, fingerprint, pixels
from ssl_cli.probes.metrics import classification, confusion
from ssl_cli.probes.protocol import key
from ssl_cli.setup import Experiment, build_method, describe

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
    probes: dict[str, Any],
    device: torch.device,
    log: Callable[[str], None],
    node: DictConfig,
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

    Returns:
        Rows as documented in the README; none where there are no labels.

    Raises:
        RunError: a backbone's weights or buffers changed while it was probed.
    """
    if len(labelled) == 0 or not (data.labels[data.splits["test"]] >= 0).any():
        log("no labels to measure with")
        return Measured(info.splits)
    random = build_method(config, info).backbone.to(device)
    models: dict[str, Callable[[Tensor], Tensor]] = {"pixels": lambda at: pixels(data.images, at)}
    for label, backbone in (("random", random), (config.name, method.measured)):
        models[label] = lambda at, b=backbone: extract(b, data.images, at, info.mean, info.std, device)
    before = fingerprint(method.measured)
    where = device if device.type == "cuda" else "cpu"
    measured = evaluate(models, data, labelled, probes, log, where, str(node.labels), node.label_seed)
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


def remedy(node: DictConfig, info: DataInfo) -> str:
    """Say how this data set can be made to fit, if it can."""
    wanted = {"storage_size": info.image_size, "channels": info.channels}
    return "write " + " ".join(f"dataset.{key}={value}" for key, value in wanted.items() if key in node)


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


def measure_checkpoint(file: Path, config: DictConfig) -> tuple[Measured, dict[str, Any]]:
    """Rebuild the model of a checkpoint, strictly, and probe it frozen.

    Args:
        file: the checkpoint.
        config: of ``ssl probe``: ``probe``, ``dataset`` (None: the run's own), ``trainer``, ``trusted_modules``.

    Returns:
        What was measured, and the content of ``result.json``.

    Raises:
        UserError: the checkpoint cannot be read, names foreign code, or does not fit the data.
    """
    state = checkpoint.load(file)
    check_targets(state["config"], config.trusted_modules)
    run_config, info = OmegaConf.create(state["config"]), DataInfo.from_dict(state["data"])
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    device = choose_device(config.trainer.device)
    method = build_method(run_config, info).to(device)
    method.load_state_dict(state["model"])  # strict: every weight or none
    method.requires_grad_(False)
    if run_config.trainer.channels_last:  # as it was measured at the end of the run, to the last bit
        method = method.to(memory_format=torch.channels_last)

    node = config.dataset if config.dataset is not None else run_config.dataset
    data = load(OmegaConf.to_container(node, resolve=True))
    if (data.channels, data.image_size) != (info.channels, info.image_size):
        raise UserError(
            f"the checkpoint's backbone was trained on {info.channels}x{info.image_size}x{info.image_size} images "
            f"({info.name}), {data.name} has {data.channels}x{data.image_size}x{data.image_size}; "
            f"{remedy(node, info)}"
        )
    seen, labelled = describe(data, node)
    if config.dataset is None and seen.splits != info.splits:
        raise UserError(
            f"the images of {info.name} are not those that the run was trained on, so its test split could hold images "
            "that it has seen; bring them back, or name the new ones: dataset=NAME dataset.root=DIR"
        )
    if len(labelled) == 0:
        raise UserError(
            f"{data.name} has no labels to probe with; write dataset=folder dataset.root=DIR with one folder a class"
        )
    before = fingerprint(method.measured)
    probe = instantiate(config.probe)
    measured = compare(run_config, method, data, info, labelled, {probe.name: probe}, device, print, node)
    return measured, {
        "checkpoint": str(file),
        "step": state["progress"]["step"],
        "method": run_config.name,
        "backbone": backbone_name(run_config),
        "dataset": data.name,
        "splits": measured.splits,
        "probe": probe.name,
        "frozen": {"before": before, "after": fingerprint(method.measured)},
        "results": measured.rows,
        "details": details(measured, data.classes),
    }
