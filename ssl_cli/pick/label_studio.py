"""Picked images as tasks of Label Studio, and the interface that shows them; its CSV comes back as a labels_file."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from ssl_cli.data.images.files.names import as_name
from ssl_cli.pick.table import Picked

LOCAL = "/data/local-files/?d="  # what Label Studio reads files of its own machine by
CONTROL, IMAGE = "label", "image"  # what the interface calls the choice and the picture


def tasks(picked: Sequence[Picked], prefix: str, model: str) -> bytes:
    """Return the list of tasks as JSON; where there is a guess it is the choice that the labeller sees first.

    Args:
        picked: the images.
        prefix: what stands before the path of an image, which is percent-encoded.
        model: what the guesses are by.
    """
    found = []
    for one in picked:
        task: dict = {"data": {IMAGE: prefix + quote(os.fsencode(as_name(one.path))), "path": one.path}}
        if one.guess:
            choice = {"from_name": CONTROL, "to_name": IMAGE, "type": "choices", "value": {"choices": [one.guess]}}
            task["predictions"] = [{"model_version": model, "score": one.probability, "result": [choice]}]
        found.append(task)
    return (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode()


def interface(classes: Sequence[str]) -> bytes:
    """Return the labelling interface as XML: one choice an image; without classes one that you fill in."""
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in classes or ("your class",))
    return (
        f'<View>\n  <Image name="{IMAGE}" value="${IMAGE}"/>\n'
        f'  <Choices name="{CONTROL}" toName="{IMAGE}" choice="single" showInline="true">\n{choices}\n'
        "  </Choices>\n</View>\n"
    ).encode()


def read_tasks(file: Path) -> list[Picked] | None:
    """Return the images of a list from `tasks`; None where a file is something else."""
    try:
        return [_read(task) for task in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return None


def _read(task: dict) -> Picked:
    path, guesses = str(task["data"]["path"]), task.get("predictions")
    if not guesses:
        return Picked(path)
    choice = guesses[0]["result"][0]["value"]["choices"][0]
    return Picked(path, str(choice), float(guesses[0].get("score", math.nan)))
