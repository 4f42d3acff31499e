"""What a pretext makes of a few images, for `ssl views` and for the report of a run."""

import torch
import torch.nn.functional as F
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
    task = pretext(Batch(data.cut_from[at], data.labels[at], at), generator)
    rows = len(task.views[0]) // len(at)
    originals = framed(data, at).float().div(255).repeat_interleave(rows, 0)
    return {"image": originals, **pretext.shown(task)}, pretext.answers(task)


def framed(data: ImageData, at: Tensor) -> Tensor:
    """Return images [n, C, size, size] uint8 as they are stored; whole ones are made to fit, white beside them."""
    if not data.keep_aspect:
        return data.images[at]
    size = data.image_size
    canvas = torch.full((len(at), data.channels, size, size), 255, dtype=torch.uint8)
    for frame, image in zip(canvas, data.cut_from[at], strict=True):
        height, width = (max(1, round(size * side / max(image.shape))) for side in image.shape[1:])
        top, left = (size - height) // 2, (size - width) // 2
        small = F.interpolate(image[None], (height, width), mode="bicubic", antialias=True)[0]
        frame[:, top : top + height, left : left + width] = small
    return canvas
