"""``README.md`` and ``about.json`` of what is exported: what goes in and comes out, and how good it is."""

import json
from typing import Any

import yaml

from ssl_cli import __version__
from ssl_cli.export.subject import TOLERANCE, Subject

SHOWN = 20  # classes that the card names; `about.json` has all


def about(s: Subject, to: str) -> dict[str, Any]:
    """Return all that is known of an exported model, as plain values."""
    info, classes = s.info, len(s.model.classes)
    colours = "grey" if info.channels == 1 else "RGB"
    goes_in = f"[batch, {info.channels}, {info.image_size}, {info.image_size}] float32, preprocessed"
    if to == "onnx":
        goes_in = f"`images` [batch, height, width, {info.channels}] uint8, {colours}, of any height and width"
    comes_out = {"features": f"[batch, {s.model.dim}] float32"}
    if s.model.head is not None:
        comes_out["probabilities"] = f"[batch, {classes}] float32, in the order of the classes"
    target, settings = s.backbone
    return {
        "format": f"ssl-export 1: {to}",
        "ssl_version": __version__,
        "input": goes_in,
        "outputs": comes_out,
        "classes": list(s.model.classes),
        "classifier": s.classifier or None,
        "preprocessing": {
            "inside": to == "onnx",
            "colours": colours,
            "crop": "centre square",
            "resize": "bicubic, antialiased",
            "size": info.image_size,
            "mean": list(info.mean),
            "std": list(info.std),
            "value_range": info.value_range,  # of files of more than 8 bits: what became 0 and 255
        },
        "backbone": {"class": target, "settings": settings},
        "method": str(s.config.name),
        "dataset": info.name,
        "step": s.step,
        "seed": s.config.seed,
        "labels": str(s.config.dataset.labels),
        "splits": info.splits,
        "licence": s.licence,
        "results": [_short(row) for row in s.summary.get("results", [])],
    }


def card(s: Subject, facts: dict[str, Any], example: str, needs: str, apart: float | None) -> str:
    """Return ``README.md``: the hub's metadata, then what a reader must know.

    Args:
        s: what is exported.
        facts: as `about` returns them.
        example: the Python file that is beside it.
        needs: packages that the example needs, for ``pip install``.
        apart: how far from the model the copy was, at most; None: it holds the same weights.
    """
    sections = {
        "Input and output": _interface(facts, apart),
        "Use it": f"```sh\npip install {needs}\n```\n\n```python\n{example}```",
        "How good it is": _measured(s, facts["results"]),
        "Licence": f"The weights that training began from are under {s.licence}."
        if s.licence
        else "No licence is stated. Who publishes the model chooses one, within what the training images allow.",
    }
    return (
        f"---\n{yaml.safe_dump(_metadata(s, facts), sort_keys=False, allow_unicode=True)}---\n\n# {s.name}\n\n"
        f"{facts['backbone']['class'].rpartition('.')[2]}, trained by `{facts['method']}` on `{facts['dataset']}` "
        f"({s.info.train_size:,} images; labels that may be used: {facts['labels']}), step {s.step:,}. Written by ssl "
        f"{__version__}, which nothing here needs.\n"
        + "".join(f"\n## {title}\n\n{text}\n" for title, text in sections.items())
    )


def _interface(facts: dict[str, Any], apart: float | None) -> str:
    """Return what goes in, what happens to it, and what comes out."""
    pre, classes = facts["preprocessing"], facts["classes"]
    lines = [f"- in: {facts['input']}", *(f"- out: `{name}` {what}" for name, what in facts["outputs"].items())]
    if classes:
        names = ", ".join(classes[:SHOWN]) + (", ..." if len(classes) > SHOWN else "")
        lines += [f"- {len(classes)} classes: {names}", f"- the probabilities are by {facts['classifier']}"]
    mean, std = (", ".join(f"{value:.4f}" for value in pre[key]) for key in ("mean", "std"))
    lines.append(
        f"\n{'Inside the file' if pre['inside'] else 'Preprocessing'}: {pre['colours']}, the centre square, resized to "
        f"{pre['size']} pixels ({pre['resize']}), values in [0, 1], less ({mean}), divided by ({std})."
    )
    if pre["value_range"]:
        lines.append(f"Of files of more than 8 bits a value {json.dumps(pre['value_range'])} became 0 and 255.")
    same = "The weights are the checkpoint's, to the last bit."
    if apart is not None:
        same = (
            f"On 100 images of several sizes the numbers were at most {apart:.1e} from the model's (of features as a "
            f"share of the largest, where that is above 1; allowed: {TOLERANCE:g}), and the classes the same."
        )
    return "\n".join([*lines, f"\n{same} `about.json` has all of this for programs."])


def _measured(s: Subject, results: list[dict[str, Any]]) -> str:
    """Return the table of the run's results, with the protocol."""
    if not results:
        return "Nothing was measured at this step of the training."
    table = ["| model | measured by | metric | mean | deviation | draws |", "|---|---|---|---|---|---|"]
    for row in results:
        cells = (row["model"], _what(row), row["metric"], _number(row["value"]), _number(row["std"]), row["n"])
        table.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(table) + (
        "\n\nScored once, on the run's test split, which neither training nor any choice has seen. Probes are fitted "
        "on `train`, on frozen features; `val` chooses what there is to choose. `pixels` are the raw pixels, `random` "
        "is the same network with random weights. The deviation is over draws of the labels. "
        f"Seed {s.config.seed}; splits `{s.info.splits}`."
    )


def _metadata(s: Subject, facts: dict[str, Any]) -> dict[str, Any]:
    """Return what the hub reads at the head of a card."""
    kind = facts["format"].rpartition(" ")[2]
    metrics = [
        {"type": row["metric"], "value": row["value"], "name": _what(row)}
        for row in facts["results"]
        if row["model"] == facts["method"] and row["value"] is not None
    ]
    data = {"name": s.info.name, "type": s.info.name, "split": "test"}
    results = [{"task": {"type": "image-classification"}, "dataset": data, "metrics": metrics}]
    return {
        **({"library_name": "timm"} if kind == "timm" else {}),
        "pipeline_tag": "image-classification" if facts["classes"] else "image-feature-extraction",
        "tags": sorted({kind, "self-supervised-learning", "ssl-cli", facts["method"]}),
        **({"license": "other", "license_name": s.licence} if s.licence else {}),
        **({"model-index": [{"name": s.name, "results": results}]} if metrics else {}),
    }


def _short(row: dict[str, Any]) -> dict[str, Any]:
    keys = ("model", "probe", "labels", "target", "metric", "std", "n")
    value = row.get("mean")
    known = isinstance(value, (int, float)) and value == value
    return {key: row.get(key) for key in keys} | {"value": value if known else None}


def _what(row: dict[str, Any]) -> str:
    target = f" of {row['target']}" if row["target"] else ""
    return f"{row['probe']}{target}, {row['labels']} labels"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
