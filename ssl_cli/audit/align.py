"""How alike two images are once one is moved and scaled so that it fits the other best."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = ((8, 4), (16, 4))  # side in pixels, steps
REACH = 0.2  # change of scale, and shift in halves of a side, that is tried: a crop by a tenth has 0.11 of each
DAMPING = 1e-3
HOPEFUL, CLEAR = 0.3, 0.95  # likeness after a coarse fit that is worth a finer one, and that needs no other
EDGES = 480  # of an image of 32 pixels, which `enough` speaks of


def likeness(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return how alike images are, [P] in [-1, 1], and by how much they differ, [P] in units where 255 is 1.

    The first is the correlation of their edges in all colours, the second the root of the mean square of the edges that
    are not explained by those of the other image.

    Edges tell a copy from another picture of the same sky, whose brightness correlates as well. One image is moved and
    scaled along both axes to fit the other (Gauss-Newton on the brightness, from coarse to fine, as Lucas & Kanade
    1981), and where that is no clear success, the other one. A gain and an offset of the brightness cost nothing. What
    lies outside of the image that is moved is not compared.

    Args:
        a: [P, C, S, S] float.
        b: likewise.
    """
    alike, unlike = _moved_onto(a, b)
    rows = ((alike >= HOPEFUL) & (alike < CLEAR)).nonzero().flatten()
    if len(rows):
        more, less = _moved_onto(b[rows], a[rows])
        better = more > alike[rows]
        alike[rows[better]], unlike[rows[better]] = more[better], less[better]
    return alike, unlike


def _moved_onto(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return what `likeness` returns, where ``b`` is moved."""
    place = torch.zeros(len(a), 4)  # change of scale, then shift, each across and down
    alike, unlike, rows = torch.zeros(len(a)), torch.zeros(len(a)), torch.arange(len(a))
    for side, steps in LEVELS:
        place = _fitted(_small(a, side), _small(b, side), place, steps)
        alike[rows], unlike[rows] = _edges_alike(a, *_sampled(b, place, a.shape[-1]))
        left = alike[rows] >= HOPEFUL
        a, b, place, rows = a[left], b[left], place[left], rows[left]
        if not len(rows):
            break
    return alike, unlike


def enough(likeness: float, side: int) -> float:
    """Return the likeness that pairs of small images need so that it says as much as this one of 32 pixels.

    The smaller an image, the fewer edges it has, and the more easily those of another are like them by chance: by
    Fisher's transform, whose deviation is one over the root of their number.
    """
    edges = min(EDGES, 2 * (side // 2) * (side // 2 - 1))
    return math.tanh(math.atanh(likeness) * math.sqrt(EDGES / edges)) if likeness < 1 else 1.0


def _small(images: Tensor, side: int) -> Tensor:
    return F.adaptive_avg_pool2d(images.mean(1, keepdim=True), side)


def _fitted(a: Tensor, b: Tensor, place: Tensor, steps: int) -> Tensor:
    """Return by which change of scale and shift [P, 4] ``b`` [P, 1, s, s] fits ``a`` best, from where it is placed."""
    side = a.shape[-1]
    line = (torch.arange(side) * 2 + 1) / side - 1
    x, y = line.repeat(side), line.repeat_interleave(side)  # of each pixel, in [-1, 1]
    slopes = torch.cat([b, _slope(b, -1) * side / 2, _slope(b, -2) * side / 2], 1)
    target = a.flatten(1)
    eye = torch.eye(6) * DAMPING
    for _ in range(steps):
        moved, inside = _sampled(slopes, place, side)
        value, across, down = moved.flatten(2).unbind(1)
        terms = torch.stack([value, torch.ones_like(value), across * x, down * y, across, down], 1)
        weighted = terms * inside.flatten(1)[:, None]
        normal = weighted @ terms.mT
        scale = normal.diagonal(dim1=1, dim2=2).clamp(min=1e-6).rsqrt()
        normal = normal * scale[:, :, None] * scale[:, None] + eye
        found = torch.linalg.solve(normal, (weighted @ target[:, :, None])[..., 0] * scale) * scale
        gain = found[:, :1]
        change = torch.where(gain.abs() > 0.2, found[:, 2:] / gain, 0.0).nan_to_num()
        place = (place + change).clamp(-REACH, REACH)
    return place


def _sampled(images: Tensor, place: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return images [P, C, H, W] as placed [P, C, side, side], and which pixels lie inside them [P, side, side]."""
    line = (torch.arange(side) * 2 + 1) / side - 1
    across = line * (1 + place[:, :1]) + place[:, 2:3]  # [P, side]
    down = line * (1 + place[:, 1:2]) + place[:, 3:4]
    grid = torch.stack(torch.broadcast_tensors(across[:, None], down[:, :, None]), -1)
    inside = ((across.abs() <= 1)[:, None] & (down.abs() <= 1)[:, :, None]).float()
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False), inside


def _slope(images: Tensor, dim: int) -> Tensor:
    """Return central differences along an axis, of equal shape."""
    return torch.gradient(images, dim=dim)[0]


def _edges_alike(a: Tensor, b: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    side = max(4, a.shape[-1] // 2)
    a, b = (F.adaptive_avg_pool2d(x, side) for x in (a, b))
    inside = (F.adaptive_avg_pool2d(inside[:, None], side) > 0.99).float()
    sums = [torch.zeros(len(a)) for _ in range(4)]
    for dim in (-1, -2):
        first, second = (x.narrow(dim, 1, side - 1) - x.narrow(dim, 0, side - 1) for x in (a, b))
        both = inside.narrow(dim, 1, side - 1) * inside.narrow(dim, 0, side - 1)
        for total, product in zip(sums, (first * second, first**2, second**2, first**0), strict=True):
            total += (product * both).sum((1, 2, 3))
    alike = sums[0] / (sums[1] * sums[2]).sqrt().clamp(min=1e-9)
    unexplained = (1 - alike.clamp(max=1) ** 2) * torch.minimum(sums[1], sums[2]) / sums[3].clamp(min=1)
    return alike, unexplained.sqrt()
