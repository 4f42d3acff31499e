"""A trained run becomes a `Predictor`: what its labels, its val split and its training inputs tell."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ssl_cli.config.words import command
from ssl_cli.data.base import Data
from ssl_cli.errors import UserError
from ssl_cli.predict.calibration import Familiar, fit_temperature
from ssl_cli.predict.predictor import OwnClassifier, Predictor
from ssl_cli.probes.base import Probe
from ssl_cli.probes.frozen.cache import FeatureCache
from ssl_cli.probes.frozen.subject import FrozenModel
from ssl_cli.probes.heads import LinearHead, RidgeHead
from ssl_cli.probes.linear import Linear
from ssl_cli.probes.progress import measuring
from ssl_cli.probes.runner import run_probes
from ssl_cli.runs.catalog import run_of
from ssl_cli.setup.restore import OpenedCheckpoint

BANK = 10_000  # at most so many training inputs, evenly spaced, tell what is familiar


def fit(t: OpenedCheckpoint, probes: Mapping[str, Probe], own: bool, log: Callable[[str], None]) -> Predictor:
    """Fit what is not learned yet, calibrate it on val, and take the training inputs for what is familiar.

    Args:
        t: the trained model with its own inputs.
        probes: that are fitted, each at the run's own label budget: at most one for the classes, and those of numbers.
        own: whether the method's own classifier names the classes.
        log: gets a line for each thing worth knowing.

    Raises:
        UserError: there is nothing to fit on.
    """
    data, run = t.data, run_of(t.file)
    cache = FeatureCache(run / "features") if run else None
    features = FrozenModel(t.method.measured, data.inputs, t.info, t.device, cache)
    where = t.device if t.device.type == "cuda" else "cpu"
    budget = str(t.node.labels) if data.labelled else "all"
    said: list[str] = []
    found = run_probes(
        {t.config.name: features}, _testable(data), t.labelled, probes, said.append, where, budget, t.node.label_seed
    )
    for line in (line for probe in probes.values() for line in probe.notices):
        log(line)
    heads = dict(found.heads)
    if found.spread:  # one for any other input: what the labels that were spread tell a linear probe
        at, labels, _ = next(iter(found.spread.values())).to_all()
        spread = replace(_testable(data), labels=data.labels.index_copy(0, at.cpu(), labels[0].to(data.labels)))
        linear = {"linear": Linear(labels=["all"])}
        heads |= run_probes({t.config.name: features}, spread, at.cpu(), linear, said.append, where).heads
    heads = {name: _on_cpu(head) for name, head in heads.items()}
    numbers = {name.split("/", 3)[3]: head for name, head in heads.items() if isinstance(head, RidgeHead)}
    classifier = next((head for head in heads.values() if not isinstance(head, RidgeHead)), None)
    name = next((probe.name for probe in probes.values() if probe.needs != "targets"), "classifier")
    if own:
        classifier = OwnClassifier(t.method, t.device)
    elif name != "classifier" and classifier is None:
        why = "it keeps nothing that could answer for others" if found.rows else "; ".join(said)
        instead = "probe.penalties=[0.01]" if name == "linear" else "probe=linear"
        raise UserError(f"the {name} probe names no classes: {why}; write {instead}")
    if classifier is None and not numbers:
        raise UserError(
            f"the run on {data.name} has neither labels nor numbers to predict by; train one with some: "
            f"{command('ssl', 'train', **data.labelled_like_it)}"
        )
    val, train = data.splits["val"], data.splits["train"]
    with measuring("looking at val and train"):
        familiar = Familiar.measured(features(train[:: -(-len(train) // BANK)]), features(val))
        temperature, count = 1.0, 0
        if classifier is not None:
            at = val[data.labels[val] >= 0]
            temperature, count = fit_temperature(classifier(features(at)), data.labels[at]) if len(at) else 1.0, len(at)
    classes = tuple(data.classes) if classifier is not None else ()
    return Predictor(name, classes, classifier, temperature, count, familiar, numbers)


def _testable(data: Data) -> Data:
    """Return the data with some test split: probes score one, and it does not matter here which."""
    splits = data.splits
    if len(splits["test"]):
        return data
    return replace(data, splits={**splits, "test": splits["val"] if len(splits["val"]) else splits["train"]})


def _on_cpu(head: LinearHead | RidgeHead) -> LinearHead | RidgeHead:
    return type(head)(**{name: _detached(value) for name, value in vars(head).items()})


def _detached(tensor: Tensor) -> Tensor:
    return torch.as_tensor(tensor).detach().cpu()
