"""The table at the end of a run: every model, measured by every probe, on the same inputs."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ssl_cli.data.base import Data, split_fingerprint
from ssl_cli.data.copies import copied
from ssl_cli.errors import UserError
from ssl_cli.probes.base import Features, Probe, Split
from ssl_cli.probes.frozen.once import FeaturesOnce
from ssl_cli.probes.frozen.subject import FrozenModel
from ssl_cli.probes.kept import Found, KeptScores
from ssl_cli.probes.measurement import Measurement, are_classes, smallest
from ssl_cli.probes.progress import measuring
from ssl_cli.probes.scores.metrics import imbalanced
from ssl_cli.probes.scores.protocol import BASELINES

LARGE = 5000  # labelled inputs from which each probe takes so long that the log names it


def run_probes(
    models: Mapping[str, Callable[[Tensor], Tensor]],
    data: Data,
    labelled: Tensor,
    probes: Mapping[str, Probe],
    log: Callable[[str], None],
    device: torch.device | str = "cpu",
    budget: str = "all",
    label_seed: int | None = None,
    layer: int | None = None,
    kept: KeptScores | None = None,
) -> Measurement:
    """Run every probe on the features of every model.

    Args:
        models: name to a `FrozenModel`, or to any function from positions [n] in the data set to features [n, d]: the
            method, and the baselines ``pixels`` and ``random``.
        data: the inputs, their labels and splits.
        labelled: positions of the training inputs whose label may be used.
        probes: name to probe.
        log: gets one line for each thing that is left out.
        device: where the probes compute.
        budget: the label budget of ``labelled``; it names the rows with all of these labels.
        label_seed: the seed that drew them.
        layer: the features are its output; None: the last.
        kept: has results of the baselines, and gets those that it lacks.

    Returns:
        The rows that `Probe.run` documents; none of a probe without inputs in train or test.
    """
    targets = known_targets(data)
    known = data.labels >= 0
    for values in targets.values():
        known = known | values.isfinite()
    test = data.splits["test"][known[data.splits["test"]]]
    measurement = Measurement(split_fingerprint(data), test, data.splits["test"][copied(data)])
    measurement.arrays |= {"positions": test.numpy(), "labels": smallest(data.labels[test])}
    measurement.arrays |= {f"targets_{name}": smallest(values[test]) for name, values in targets.items()}
    usable = _usable(probes, data, labelled, known, budget, log)
    truth = data.labels[test[data.labels[test] >= 0]]
    if any(probe.needs in ("labels", "mixed") for probe, _ in usable.values()) and imbalanced(truth):
        log(_imbalance(truth, data.noun))
    classes, notices = data.num_classes if len(truth) else 0, []
    common = {"classes": classes, "budget": budget, "label_seed": label_seed, "dataset": data.name, "noun": data.noun}
    mixtures = {name: _mixture(probe, data, labelled, common) for name, (probe, _) in usable.items()}
    large = any(probe.slow or len(positions["train"]) >= LARGE for probe, positions in usable.values())
    for number, (model, network) in enumerate(models.items(), 1):
        features_of, announced = FeaturesOnce(network, len(data.labels), device), not large
        what = f"measuring {model} ({number} of {len(models)})"
        source = network if isinstance(network, FrozenModel) else None
        for name, (probe, positions) in usable.items():
            named = kept.key(source, probe) if kept and source and model in BASELINES else None
            results = kept.get(model, named) if named else None
            if results is None:
                if not announced:
                    log(f"{what}: {', '.join(usable)}")
                    announced = True
                mixture, splits = mixtures[name], {}
                for split, at in positions.items():
                    labels = data.labels
                    if mixture and split == "train":
                        at, labels = mixture.wanted, mixture.labels
                    with measuring(f"{what}, features"):
                        found = features_of(at)
                    values = {name: target[at].to(device) for name, target in targets.items()}
                    splits[split] = Split(found, labels[at].to(device), at, values)
                more = {"labelled": mixture.labelled, "rest": mixture.rest} if mixture else {}
                features = Features(**splits, **common, **more, source=source)
                with measuring(f"{what}, {probe.name}"):
                    results = _with_new_ones(probe, features, measurement, notices)
                if named:
                    kept.put(named, results)
            for result, again in results:
                measurement.add(model, result, layer, positions["test"], again)
        measurement.features = features_of
    for notice in dict.fromkeys(notices):  # each model brings the same
        log(notice)
    return measurement


def _with_new_ones(probe: Probe, features: Features, measurement: Measurement, notices: list[str]) -> Found:
    """Return each result of a probe, with its metrics without test inputs in train if predictions do not give them."""
    results = probe.run(features)
    notices += probe.notices
    test, again = features.test, {}
    new = ~torch.isin(test.positions, measurement.copied)
    if not new.all() and new.any() and not all(map(are_classes, results)):
        at = new.to(test.labels.device)
        targets = {name: values[at] for name, values in test.targets.items()}
        kept = replace(features, test=Split(test.features[at], test.labels[at], test.positions[new], targets))
        with contextlib.suppress(UserError):  # too few are left
            again = {(result.labels, result.target): result.metrics for result in probe.run(kept)}
    return [(result, again.get((result.labels, result.target))) for result in results]


@dataclass
class _Mixture:
    """The train inputs of a probe that needs labelled and other ones."""

    labelled: Split  # those whose label may be used; without features
    labels: Tensor  # [N] of all inputs of the data set; -1: the probe may not use it
    wanted: Tensor  # [m] positions of those that the probe wants
    rest: Tensor  # [r] of the others


def _mixture(probe: Probe, data: Data, labelled: Tensor, common: Mapping[str, Any]) -> _Mixture | None:
    """Return the train inputs of a probe that needs "mixed" ones; None for any other."""
    if probe.needs != "mixed":
        return None
    labelled = labelled[data.labels[labelled] >= 0]
    labels, train = torch.full_like(data.labels, -1), data.splits["train"]
    labels[labelled] = data.labels[labelled]

    def bare(at: Tensor) -> Split:
        return Split(torch.empty(len(at), 0), labels[at], at)

    known = bare(labelled)
    everything = Features(bare(train), bare(train[:0]), bare(train[:0]), labelled=known, rest=train[:0], **common)
    wanted = probe.wanted(everything)
    return _Mixture(known, labels, wanted, train[~torch.isin(train, wanted)])


def _usable(
    probes: Mapping[str, Probe],
    data: Data,
    labelled: Tensor,
    known: Tensor,
    budget: str,
    log: Callable[[str], None],
) -> dict[str, tuple[Probe, dict[str, Tensor]]]:
    """Return the probes that have inputs to learn from and to be scored on, with their positions in each split."""
    usable = {}
    for name, probe in probes.items():
        positions = _positions(probe.needs, data, labelled, known, budget)
        fits = labelled[data.labels[labelled] >= 0] if probe.needs == "mixed" else positions["train"]
        missing = [split for split, at in (("train", fits), ("test", positions["test"])) if not len(at)]
        if missing:
            noun = data.noun
            what = {"targets": f"{noun} with a target", "images": noun}.get(probe.needs, f"labelled {noun}")
            log(f"no {what} in {' and '.join(missing)}: nothing to measure with the {name} probe")
        else:
            usable[name] = (probe, positions)
    return usable


def _imbalance(truth: Tensor, noun: str) -> str:
    counts = torch.bincount(truth)
    return (
        f"the classes have {counts[counts > 0].min()} to {counts.max()} test {noun}s: the headline is balanced "
        "accuracy, the mean over classes of the share that is right"
    )


def known_targets(data: Data) -> dict[str, Tensor]:
    """Return the numeric targets [N] of a data set: its factors, and ``label`` if all class names are numbers."""
    with contextlib.suppress(ValueError):
        values = torch.tensor([float(name) for name in data.classes] + [float("nan")], dtype=torch.float64)
        if data.classes and values[:-1].isfinite().all() and not any("_" in name for name in data.classes):
            return {"label": values[data.labels], **data.factors}  # -1: the last, unknown
    return dict(data.factors)


def _positions(needs: str, data: Data, labelled: Tensor, known: Tensor, budget: str) -> dict[str, Tensor]:
    """Return the inputs of each split that a probe with these needs may use."""
    has_label, train = data.labels >= 0, data.splits["train"]
    usable = known if needs == "targets" else has_label
    if needs == "images" and not has_label[data.splits["test"]].any():
        usable = torch.ones_like(has_label)
    if needs == "labels":
        train = labelled[has_label[labelled]]
    elif needs == "targets":
        train = labelled if budget != "all" else train[known[train]]
    return {"train": train} | {name: data.splits[name][usable[data.splits[name]]] for name in ("val", "test")}
