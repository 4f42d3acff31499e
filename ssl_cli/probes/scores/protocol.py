"""Which numbers may be compared: those whose protocol is the same. Imports no torch."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

RAW = {
    "pixels": "raw pixels",
    "tfidf": "TF-IDF",
    "frames": "averaged frames",
    "raw": "raw inputs",
}  # what a baseline without a network is called, and in words
BEFORE = "before"  # the model of a row: the network as a run was given it, before training
BASELINES = (*RAW, "random", BEFORE)  # models of a run's rows that it has not trained

# Settings that tell which labels were drawn: without them, draws of the same budget by other seeds are alike.
LABEL_DRAW = ("label_seeds", "label_fingerprint")


def protocol(row: Mapping[str, Any], splits: str, without: Sequence[str] = ()) -> str:
    """Return 12 hex digits, equal for two rows that were measured the same way on the same images.

    Args:
        row: as `ssl_cli.probes.base.Probe.run` documents it.
        splits: fingerprint of the data's splits (``splits`` in ``summary.json`` and ``result.json``).
        without: settings that may differ; `LABEL_DRAW` for an average over draws of the labels.
    """
    settings = {key: value for key, value in row["settings"].items() if key not in without}
    facts = [row[key] for key in ("probe", "labels", "split", "target", "metric")]
    return hashlib.sha256(json.dumps([splits, *facts, settings], sort_keys=True).encode()).hexdigest()[:12]


def column(row: Mapping[str, Any]) -> tuple:
    """Return what names a column of a table of results, and the protocol that keeps unlike ones apart."""
    return row["probe"], row["labels"], row.get("target"), row.get("protocol")


def key(row: Mapping[str, Any]) -> str:
    """Return ``MODEL/PROBE/LABELS[/TARGET]``: the name of a row's predictions in ``predictions.npz``."""
    target = [row["target"]] if row.get("target") else []
    return "/".join([row["model"], row["probe"], row["labels"], *target])
