"""Fitted heads in the run: plain arrays, so that the next prediction needs none of the training inputs."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_cli.predict.calibration import Familiar
from ssl_cli.predict.predictor import OwnClassifier, Predictor
from ssl_cli.probes.frozen.features import fingerprint
from ssl_cli.probes.heads import LinearHead, RidgeHead
from ssl_cli.setup.restore import Rebuilt
from ssl_cli.system.atomic import replace

VERSION = 1  # of what is kept and how it is fitted


def name_of(rebuilt: Rebuilt, probes: Mapping[str, Any], own: bool) -> str:
    """Return a name that changes with all that a `Predictor` depends on.

    Args:
        rebuilt: the model, with what its run knew of the inputs and their labels.
        probes: settings of those that are fitted.
        own: whether the method's own classifier is used.
    """
    node, info = rebuilt.config.dataset, rebuilt.info
    labels = [info.splits, info.classes, str(node.labels), node.label_seed]
    facts = [VERSION, fingerprint(rebuilt.method), labels, {name: probes[name] for name in sorted(probes)}, own]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    return f"{'-'.join([*(['classifier'] if own else []), *sorted(probes)])}-{digest}"


def write(file: Path, predictor: Predictor) -> None:
    """Write ``about`` (JSON) and arrays: ``numpy.load(file, allow_pickle=False)``.

    ``head/weight`` [d, C] and ``head/bias`` [C], where it is not the method's own; ``familiar/bank`` [m, d] and
    ``familiar/val`` [v]; for the i-th target the fields of `RidgeHead` below ``targets/i``.
    """
    about = {
        "version": VERSION,
        "name": predictor.name,
        "classes": list(predictor.classes),
        "temperature": predictor.temperature,
        "calibrated_on": predictor.calibrated_on,
        "own": isinstance(predictor.head, OwnClassifier),
        "targets": list(predictor.targets),
    }
    tensors = {"familiar/bank": predictor.familiar.bank, "familiar/val": predictor.familiar.val}
    if isinstance(predictor.head, LinearHead):
        tensors |= _fields("head", predictor.head)
    for i, head in enumerate(predictor.targets.values()):
        tensors |= _fields(f"targets/{i}", head)
    buffer = io.BytesIO()
    np.savez(buffer, about=np.array(json.dumps(about)), **{name: tensor.numpy() for name, tensor in tensors.items()})
    file.parent.mkdir(exist_ok=True)
    replace(file, buffer.getvalue())


def read(file: Path, own: OwnClassifier) -> Predictor | None:
    """Return what `write` has written; None where there is none, or a damaged one (each array has a checksum)."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            tensors = {name: torch.from_numpy(arrays[name]) for name in arrays.files if name != "about"}
        head = own if about["own"] else None
        if "head/weight" in tensors:
            head = LinearHead(**_below("head", tensors))
        targets = {name: RidgeHead(**_below(f"targets/{i}", tensors)) for i, name in enumerate(about["targets"])}
        familiar = Familiar(tensors["familiar/bank"], tensors["familiar/val"])
        numbers = float(about["temperature"]), int(about["calibrated_on"])
        return Predictor(about["name"], tuple(about["classes"]), head, *numbers, familiar, targets)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _fields(prefix: str, head: LinearHead | RidgeHead) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in vars(head).items()}


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")}
