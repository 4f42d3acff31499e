"""What a pretext makes of a few images, for `ssl views` and for the report of a run."""

import torch
from torch import Tensor

from ssl_cli.batch import Batch
from ssl_cli.data.images.base import ImageData
from ssl_cli.pretext.base import Pretext


def drawn(pretext: Pretext, data: ImageData, count: int, seed: int) -> tuple[dict[str, Tensor], list[str]]:
    """Return columns of pictures, and each row's answer.

    Args:
        pretext: makes the task.
        data: random train images of it are taken.
        count: images; the pretext may make several rows of each (all four rotations).
        seed: of which images, and of how they are changed.

    Returns:
        Heading -> [rows, C, h, w] in [0, 1], the images as they are first; and the pseudo-labels in words, one a row,
        or none.
    """
    train = data.splits["train"]
    generator = torch.Generator().manual_seed(seed)
    at = train[torch.randperm(len(train), generator=generator)[:count]]
    task = pretext(Batch(data.images[at], data.labels[at], at), generator)
    rows = len(task.views[0]) // len(at)
    originals = data.images[at].float().div(255).repeat_interleave(rows, 0)
    return {"image": originals, **pretext.shown(task)}, pretext.answers(task)
