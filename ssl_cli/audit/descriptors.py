"""Which images could be copies of each other: the nearest by a blurred look, as they are and mirrored."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.probes.progress import tracked

SIDE = 16  # pixels that a look is taken at
COARSE, COLOUR = 6, 3  # highest sum of the two frequencies of brightness, and of colour
BLUR = 4.0  # frequencies: a crop by a tenth moves what is finer
ROWS = 256  # images whose likeness to all others is held at a time


def described(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return what images look like from afar, unit vectors [N, d], and the signs [d] that mirror such a vector.

    They are the lowest frequencies of a cosine transform, without the brightness of the whole: of these, a mirrored
    image has the same, the odd horizontal ones with another sign.

    Args:
        images: [N, 1 or 3, H, W] float in [0, 1].
    """
    basis = _cosines(SIDE)
    x = basis @ F.adaptive_avg_pool2d(_brightness_and_colour(images), SIDE) @ basis.T
    down, across = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    weight = torch.exp(-(down**2 + across**2) / (2 * BLUR**2))
    parts, signs = [], []
    for channel in range(x.shape[1]):
        kept = (down + across <= (COLOUR if channel else COARSE)) & ((down + across > 0) | (channel > 0))
        parts.append((x[:, channel] * weight)[:, kept])
        signs.append(1.0 - 2.0 * (across[kept] % 2))
    return F.normalize(torch.cat(parts, 1), dim=1), torch.cat(signs)


def candidates(looks: Tensor, signs: Tensor, most: int, least: float) -> Tensor:
    """Return pairs of images that look alike [p, 3]: the lower row, the higher row, and 1 where one is mirrored.

    Args:
        looks: [N, d] as from `described`.
        signs: [d].
        most: pairs an image and way, those of the highest likeness.
        least: cosine.
    """
    count, others = len(looks), looks.T.contiguous()
    keys = [torch.empty(0, dtype=torch.int64)]
    for start in tracked(range(0, count, ROWS)):
        rows = looks[start : start + ROWS]
        own = torch.arange(start, start + len(rows))
        for mirrored in (0, 1):
            likeness = (rows * signs if mirrored else rows) @ others
            likeness[torch.arange(len(rows)), own] = -1.0
            found, other = likeness.topk(min(most, count), dim=1)
            near = found >= least
            first, second = own[:, None].expand_as(other)[near], other[near]
            keys.append((torch.minimum(first, second) * count + torch.maximum(first, second)) * 2 + mirrored)
    key = torch.cat(keys).unique()  # most pairs are found from both sides
    return torch.stack([key // (2 * count), key // 2 % count, key % 2], 1)


def _brightness_and_colour(images: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return images
    brightness = (images * torch.tensor([0.299, 0.587, 0.114]).view(-1, 1, 1)).sum(1, keepdim=True)
    return torch.cat([brightness, images[:, 2:] - brightness, images[:, :1] - brightness], 1)


def _cosines(n: int) -> Tensor:
    """Return the type-2 cosine transform [n, n]: a frequency a row."""
    return torch.cos(math.pi * (torch.arange(n) + 0.5) * torch.arange(n)[:, None] / n) * math.sqrt(2 / n)
