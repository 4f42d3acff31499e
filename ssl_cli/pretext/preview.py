"""The views that a pretext makes of a few inputs, for `ssl views` and for the report of a run."""

from typing import Any

import torch

from ssl_cli.batch import Batch
from ssl_cli.data.base import Data
from ssl_cli.pretext.base import Pretext


def drawn(pretext: Pretext, data: Data, count: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Return columns of pictures or texts, and each row's answer.

    Args:
        pretext: makes the task.
        data: its train split gives random inputs.
        count: inputs; the pretext may make several rows of each (all four rotations).
        seed: of the choice of inputs and of their changes.

    Returns:
        Heading -> [rows, C, h, w] in [0, 1] or texts, the inputs as they are first; and the pseudo-labels in words, one
        a row, or none.
    """
    train = data.splits["train"]
    generator = torch.Generator().manual_seed(seed)
    at = train[torch.randperm(len(train), generator=generator)[:count]]
    task = pretext(Batch(data.cut_from[at], data.labels[at], at), generator)
    rows = len(task.views[0]) // len(at)
    return {data.noun: data.shown(at.repeat_interleave(rows)), **pretext.shown(task)}, pretext.answers(task)
