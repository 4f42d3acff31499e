"""A model beside its baselines: the raw pixels and the same backbone with random weights, by the same probes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from ssl_cli import checkpoint
from ssl_cli.build import check_targets, instantiate
from ssl_cli.data.images import ImageData
from ssl_cli.data.info import DataInfo
from ssl_cli.data.load import load
from ssl_cli.device import choose_device
from ssl_cli.errors import RunError, UserError
from ssl_cli.methods.base import Method
from ssl_cli.probes.evaluate import evaluate
from ssl_cli.probes.features import evaluating, extract, fingerprint, pixels
from ssl_cli.setup import Experiment, build_method, describe


def measure(e: Experiment, log: Callable[[str], None]) -> list[dict]:
    """Score a trained experiment on its test split; no labels, no rows."""
    rows = compare(e.config, e.method, e.data, e.info, e.labelled, e.probes, e.device, log)
    return within_budget(rows + (own_classifier(e) if rows else []), str(e.config.dataset.labels))


def within_budget(rows: list[dict], budget: str) -> list[dict]:
    """Name the labels that ``all`` means where the run's budget (``10%``, ``4/class``) left only some.

    A probe's own budget of the same name would draw all of these labels again: its rows go.
    """
    if budget != "all":
        rows = [row for row in rows if row["labels"] != budget]
    return [{**row, "labels": budget if row["labels"] == "all" else row["labels"]} for row in rows]


def compare(
    config: DictConfig,
    method: Method,
    data: ImageData,
    info: DataInfo,
    labelled: Tensor,
    probes: dict[str, Any],
    device: torch.device,
    log: Callable[[str], None],
) -> list[dict]:
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

    Returns:
        Rows as documented in the README; empty where there are no labels.

    Raises:
        RunError: a backbone's weights or buffers changed while it was probed.
    """
    if len(labelled) == 0 or not (data.labels[data.splits["test"]] >= 0).any():
        log("no labels to measure with")
        return []
    random = build_method(config, info).backbone.to(device)
    models: dict[str, Callable[[Tensor], Tensor]] = {"pixels": lambda at: pixels(data.images, at)}
    for label, backbone in (("random", random), (config.name, method.measured)):
        models[label] = lambda at, b=backbone: extract(b, data.images, at, info.mean, info.std, device)
    before = fingerprint(method.measured)
    rows = evaluate(models, data, labelled, probes, log, device if device.type == "cuda" else "cpu")
    if fingerprint(method.measured) != before:
        raise RunError("the backbone changed while it was probed, so the numbers would not be of the frozen model")
    return rows


def own_classifier(e: Experiment) -> list[dict]:
    """Score the classifier that the method itself has learned, on the test split."""
    test = e.data.splits["test"]
    test = test[e.data.labels[test] >= 0]
    features = extract(e.method.measured, e.data.images, test, e.info.mean, e.info.std, e.device)
    with evaluating(e.method), torch.inference_mode():
        logits = e.method.predict(features.to(e.device))
    if logits is None:
        return []
    accuracy = (logits.argmax(dim=1).cpu() == e.data.labels[test]).double().mean().item()
    row = {"model": e.config.name, "probe": "classifier", "labels": "all", "split": "test"}
    return [{**row, "metric": "accuracy", "mean": accuracy, "std": None, "n": 1, "settings": {}}]


def backbone_name(config: DictConfig) -> str:
    """Return for example ``convnet`` or ``resnet18``."""
    return config.backbone.get("arch") or config.backbone["_target_"].split(".")[-2]


def remedy(node: DictConfig, info: DataInfo) -> str:
    """Say how this data set can be made to fit, if it can."""
    wanted = {"storage_size": info.image_size, "channels": info.channels}
    return "write " + " ".join(f"dataset.{key}={value}" for key, value in wanted.items() if key in node)


def measure_checkpoint(file: Path, config: DictConfig) -> dict[str, Any]:
    """Rebuild the model of a checkpoint, strictly, and probe it frozen.

    Args:
        file: the checkpoint.
        config: of ``ssl probe``: ``probe``, ``dataset`` (None: the run's own), ``trainer``, ``trusted_modules``.

    Returns:
        The content of ``result.json``.

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
    rows = compare(run_config, method, data, info, labelled, {probe.name: probe}, device, print)
    return {
        "checkpoint": str(file),
        "step": state["progress"]["step"],
        "method": run_config.name,
        "backbone": backbone_name(run_config),
        "dataset": data.name,
        "probe": probe.name,
        "frozen": {"before": before, "after": fingerprint(method.measured)},
        "results": within_budget(rows, str(node.labels)),
    }
