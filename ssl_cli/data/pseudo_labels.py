"""Labels that a probe has spread to the train inputs of a run: find the file for a label budget. Light."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_cli.config.words import command
from ssl_cli.data.budget import parse_budget
from ssl_cli.errors import UserError
from ssl_cli.runs.catalog import find_run, read_json

KEY = "dataset.pseudo_labels"
FILE = "pseudo_labels.npz"  # beside a probe's result.json
PROBE = "propagate"


@dataclass(frozen=True)
class Found:
    """The place of labels that were spread from one draw of a budget."""

    file: Path
    budget: str  # as written in the file
    draw: int  # its row in arrays with one row a draw


def find_pseudo_labels(reference: str, labels: str, label_seed: int) -> Found:
    """Return the newest labels in a run that were spread from the labels of a budget.

    Args:
        reference: a run, ``last`` or ``best``, the directory of a probe's result, or the file itself.
        labels: the budget.
        label_seed: the seed that draws it.

    Raises:
        UserError: there are none; the message says which labels there are, and which command makes these.
    """
    path, wanted, there = find_run(reference, KEY), parse_budget(labels), []
    if path.is_file():  # the file itself, or a checkpoint of the run
        path = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    files = [path / FILE] if (path / FILE).is_file() else sorted(path.glob(f"probes/*/{FILE}"), reverse=True)
    for file in files:
        for row in _spread_rows(file):
            seeds = row["settings"].get("label_seeds")  # a budget of all labels has none
            if parse_budget(row["labels"]) == wanted and label_seed in (seeds or [label_seed]):
                return Found(file, row["labels"], seeds.index(label_seed) if seeds else 0)
            there.append(row["labels"] + (f" (seeds {', '.join(map(str, seeds))})" if seeds else ""))
    run = path.parent.parent if path.parent.name == "probes" else path
    again = command("ssl", "probe", ckpt=run, probe=PROBE, **{"probe.labels": [labels]})
    what = f"only labels spread from {', '.join(dict.fromkeys(there))}" if there else "no propagated labels"
    asked = f"dataset.labels={labels} dataset.label_seed={label_seed}"
    raise UserError(f"{KEY}={reference} has {what}; to spread those of {asked}: {again}")


def _spread_rows(file: Path) -> list[dict[str, Any]]:
    """Return the rows of ``result.json`` for a file of labels, one for each budget."""
    result = read_json(file.with_name("result.json")) or {}
    rows = result.get("results")
    return [row for row in (rows if isinstance(rows, list) else []) if _is_spread(row, result.get("method"))]


def _is_spread(row: Any, model: Any) -> bool:
    """Return whether a value is a probe's row of label spreading by a model."""
    if not isinstance(row, dict) or row.get("probe") != PROBE or row.get("model") != model:
        return False
    settings = row.get("settings")
    return isinstance(row.get("labels"), str) and isinstance(settings, dict)
