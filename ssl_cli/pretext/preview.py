"""The views that a pretext makes of a few inputs, for `ssl views` and for the report of a run."""

from dataclasses import replace
from typing import Any

import torch

from ssl_cli.batch import Batch, Task
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
    at, task = _made(pretext, data, count, seed)
    return {data.noun: data.shown(at), **pretext.shown(task)}, pretext.answers(task)


def played(pretext: Pretext, data: Data, count: int, seed: int) -> list[dict[str, Any]]:
    """Return the columns of `drawn` at each moment of inputs that move; views are over sooner, and begin again."""
    at, task = _made(pretext, data, count, seed)
    columns = []
    for time, picture in enumerate(data.moments(at)):
        views = [view[:, [time % view.shape[1]]] for view in task.views]
        columns.append({data.noun: picture, **pretext.shown(replace(task, views=views))})
    return columns


def _made(pretext: Pretext, data: Data, count: int, seed: int) -> tuple[torch.Tensor, Task]:
    """Return the position of each row's input, and the task."""
    train = data.splits["train"]
    generator = torch.Generator().manual_seed(seed)
    at = train[torch.randperm(len(train), generator=generator)[:count]]
    task = pretext(Batch(data.cut_from[at], data.labels[at], at), generator)
    return at.repeat_interleave(len(task.views[0]) // len(at)), task
