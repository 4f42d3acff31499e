"""You may compare numbers of the same protocol only. Imports no torch."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

RAW = {  # names of baselines without a network, and their words
    "pixels": "raw pixels",
    "tfidf": "TF-IDF",
    "frames": "averaged frames",
    "raw": "raw inputs",
}
BEFORE = "before"  # the model of a row: the network as a run was given it, before training
BASELINES = (*RAW, "random", BEFORE)  # models in a run's rows that the run has not trained

# Settings that say which labels were drawn: without them, draws of the same budget by other seeds are equal.
LABEL_DRAW = ("label_seeds", "label_fingerprint")


def protocol(row: Mapping[str, Any], splits: str, without: Sequence[str] = ()) -> str:
    """Return 12 hex digits, equal for two rows that were measured the same way on the same inputs.

    Args:
        row: as `ssl_cli.probes.base.Probe.run` documents it.
        splits: fingerprint of the data's splits (``splits`` in ``summary.json`` and ``result.json``).
        without: settings that may differ: `LABEL_DRAW` for an average over draws of the labels.
    """
    settings = {key: value for key, value in row["settings"].items() if key not in without}
    facts = [row[key] for key in ("probe", "labels", "split", "target", "metric")]
    return hashlib.sha256(json.dumps([splits, *facts, settings], sort_keys=True).encode()).hexdigest()[:12]


def column(row: Mapping[str, Any]) -> tuple:
    """Return the name of a column in a table of results, and its protocol, which separates unlike columns."""
    return row["probe"], row["labels"], row.get("target"), row.get("protocol")


def key(row: Mapping[str, Any]) -> str:
    """Return ``MODEL/PROBE/LABELS[/TARGET]``: the name of a row's predictions in ``predictions.npz``."""
    target = [row["target"]] if row.get("target") else []
    return "/".join([row["model"], row["probe"], row["labels"], *target])
