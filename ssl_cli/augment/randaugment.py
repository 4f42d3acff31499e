"""RandAugment (Cubuk et al. 2019, arXiv:1909.13719) with random magnitudes, as FixMatch uses it, on whole batches.

Each image draws its own operations and magnitudes; each operation runs once a round, on the images that drew it. It
equals torchvision's function of that name. Operations that move images also exist in Pillow's version.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.augment import colour, draw, geometry
from ssl_cli.augment.subset import apply_where, each
from ssl_cli.system.transfer import constant, send

SMOOTH = ((1, 1, 1), (1, 5, 1), (1, 1, 1))  # Pillow's, in thirteenths
LEVELS = 256  # of a channel, for the operations that are defined on bytes


def autocontrast(images: Tensor) -> Tensor:
    """Stretch each channel of images [B, C, H, W] in [0, 1] to its full range (``autocontrast``)."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    span = high - low
    flat = span == 0
    return torch.where(flat, images, (images - low) / span.masked_fill(flat, 1)).clamp_(0, 1)


def equalize(images: Tensor) -> Tensor:
    """Flatten the histogram of each channel, in 256 levels (``equalize``, which is Pillow's)."""
    levels = images.mul(LEVELS - 1).round_().long().flatten(2)
    counts = torch.zeros(*levels.shape[:2], LEVELS, dtype=torch.long, device=images.device)
    counts.scatter_add_(2, levels, torch.ones_like(levels))
    # Pillow's step leaves out the brightest level that occurs; a channel with fewer than two levels does not change.
    brightest = (counts > 0).long().mul(torch.arange(1, LEVELS + 1, device=images.device)).amax(2) - 1
    step = (counts.sum(2) - counts.gather(2, brightest.unsqueeze(2)).squeeze(2)) // (LEVELS - 1)
    before = counts.cumsum(2) - counts
    table = (before + (step // 2).unsqueeze(2)) // step.clamp_min(1).unsqueeze(2)
    flattened = table.clamp_(0, LEVELS - 1).gather(2, levels).view(images.shape).to(images.dtype) / (LEVELS - 1)
    return torch.where((step == 0).view(*step.shape, 1, 1), images, flattened)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest ``bits`` [B] of the 8 bits of each value (``posterize``)."""
    unit = 2 ** (8 - send(bits, images.device, images.dtype).round()).view(-1, 1, 1, 1)
    return (images.mul(LEVELS - 1).round_() / unit).floor_().mul_(unit).div_(LEVELS - 1)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with a smoothed image: 0 is smooth, 1 the image, more is sharper (``adjust_sharpness``); not the rim."""
    channels, (height, width) = images.shape[1], images.shape[2:]
    if min(height, width) <= 2:
        return images.clone()
    kernel = (constant(SMOOTH, images) / 13).expand(channels, 1, 3, 3)
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(images, kernel, groups=channels)
    factor = send(factor, images.device, images.dtype).view(-1, 1, 1, 1)
    return (images * factor + smooth * (1 - factor)).clamp_(0, 1)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert the values at or above ``threshold`` [B] in [0, 1] (``solarize``)."""
    return torch.where(images >= send(threshold, images.device, images.dtype).view(-1, 1, 1, 1), 1 - images, images)


def _warp(images: Tensor, angle=0.0, x=0.0, y=0.0, shear_x=0.0, shear_y=0.0, fill: float = 0.5) -> Tensor:  # noqa: ANN001
    """Turn, shift (fractions of the side) and shear (degrees); each a number or [B]."""
    n, (height, width) = len(images), images.shape[2:]
    angle, x, y, shear_x, shear_y = (
        torch.as_tensor(v, dtype=torch.float32).expand(n) for v in (angle, x, y, shear_x, shear_y)
    )
    shift = torch.stack([x * width, y * height], dim=1)
    return geometry.affine(images, angle, shift, torch.ones(n), torch.stack([shear_x, shear_y], dim=1), fill=fill)


SHEAR = math.degrees(math.atan(0.3))
# name: (operation on images and magnitudes [B], lowest and highest magnitude); pool and ranges of FixMatch, table 12.
OPERATIONS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], float, float]] = {
    "identity": (lambda images, _: images, 0, 0),
    "autocontrast": (lambda images, _: autocontrast(images), 0, 0),
    "equalize": (lambda images, _: equalize(images), 0, 0),
    "brightness": (colour.brightness, 0.05, 0.95),
    "contrast": (colour.contrast, 0.05, 0.95),
    "color": (colour.saturation, 0.05, 0.95),
    "sharpness": (sharpness, 0.05, 0.95),
    "posterize": (posterize, 3.5, 8.49),
    "solarize": (solarize, 0.0, 1.0),
    "rotate": (lambda images, m: _warp(images, angle=m), -30.0, 30.0),
    "shear_x": (lambda images, m: _warp(images, shear_x=m), -SHEAR, SHEAR),
    "shear_y": (lambda images, m: _warp(images, shear_y=m), -SHEAR, SHEAR),
    "translate_x": (lambda images, m: _warp(images, x=m), -0.3, 0.3),
    "translate_y": (lambda images, m: _warp(images, y=m), -0.3, 0.3),
}


def _nearest(images: Tensor, a=1.0, b=0.0, c=0.0, d=0.0, e=1.0, f=0.0) -> Tensor:  # noqa: ANN001
    """Take pixel (x, y) of images [B, C, H, W] from (a x + b y + c, d x + e y + f), as Pillow's ``transform`` does.

    Each coefficient is a number or [B]; pixels keep their values; outside the image they are black.
    """
    n, (height, width), device = len(images), images.shape[2:], images.device
    exact = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
    a, b, c, d, e, f = (
        send(torch.as_tensor(v, dtype=torch.float64).expand(n), device, exact).view(n, 1, 1) for v in (a, b, c, d, e, f)
    )
    x = torch.arange(width, device=device, dtype=exact).view(1, 1, -1) + 0.5
    y = torch.arange(height, device=device, dtype=exact).view(1, -1, 1) + 0.5
    column, row = (a * x + b * y + c).floor(), (d * x + e * y + f).floor()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = (row * width + column).long().masked_fill_(~inside, 0).flatten(1).unsqueeze(1)
    moved = images.flatten(2).gather(2, place.expand(-1, images.shape[1], -1)).view(images.shape)
    return moved.masked_fill_(~inside.unsqueeze(1), 0.0)


def _turn(images: Tensor, degrees: Tensor) -> Tensor:
    """Turn about the centre, counterclockwise (Pillow's ``rotate``)."""
    height, width = images.shape[2:]
    cos, sin = (function(torch.deg2rad(degrees.double())) for function in (torch.cos, torch.sin))
    x, y = width / 2, height / 2
    return _nearest(images, cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)


# As in FixMatch's and TorchSSL's code: Pillow takes the nearest pixel and shears from the corner.
AS_PUBLISHED: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], float, float]] = OPERATIONS | {
    "rotate": (_turn, -30.0, 30.0),
    "shear_x": (lambda images, m: _nearest(images, b=m), -0.3, 0.3),
    "shear_y": (lambda images, m: _nearest(images, d=m), -0.3, 0.3),
    "translate_x": (lambda images, m: _nearest(images, c=m.double() * images.shape[3]), -0.3, 0.3),
    "translate_y": (lambda images, m: _nearest(images, f=m.double() * images.shape[2]), -0.3, 0.3),
}


def randaugment(
    images: Tensor, operations: int, generator: torch.Generator, nearest: bool = False, frames: int = 1
) -> Tensor:
    """Return images [B, C, H, W] in [0, 1], each changed by random operations of random magnitudes.

    Args:
        images: they do not change.
        operations: per image.
        generator: the only source of randomness.
        nearest: move images as published; False: bilinearly about the centre, with grey beyond the rim.
        frames: that follow each other in ``images`` and are of one clip, which draws once.
    """
    images, n = images.clone(), len(images) // frames
    pool = AS_PUBLISHED if nearest else OPERATIONS
    for _ in range(operations):
        chosen = each(frames, torch.randint(len(pool), (n,), generator=generator, device=generator.device))
        share = each(frames, draw.uniform(n, 0, 1, generator))
        for number, (operation, low, high) in enumerate(pool.values()):
            images = apply_where(chosen == number, images, operation, low + share * (high - low))
    return images


def cutout(images: Tensor, side: float, generator: torch.Generator, fill: float = 0.5, frames: int = 1) -> Tensor:
    """Blank a square of random size up to ``side`` (a fraction of the image's) around a random pixel of each image.

    DeVries and Taylor 2017 (arXiv:1708.04552); the random size is FixMatch's. The square may extend beyond the rim.
    ``frames`` that follow each other have the same square.
    """
    n, (height, width) = len(images) // frames, images.shape[2:]
    drawn = (each(frames, draw.uniform(n, 0, 1, generator)) for _ in range(3))
    size, y, x = (send(values, images.device).view(-1, 1) for values in drawn)
    reach = size * side / 2
    rows = ((torch.arange(height, device=images.device) + 0.5) / height - y).abs() < reach
    columns = ((torch.arange(width, device=images.device) + 0.5) / width - x).abs() < reach
    return images.masked_fill((rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1), fill)
