"""Coloured shapes drawn on the fly: no download, any number of images, every factor of variation known."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ssl_cli.data.images.base import ImageData, to_channels

# A shape is a signed distance: coordinates (x, y) in units of the radius of its circumscribed circle -> distance to
# its edge, negative inside. Each has its centroid at the origin.
Distance = Callable[[Tensor, Tensor], Tensor]


def _ring(x: Tensor, y: Tensor) -> Tensor:
    return (torch.hypot(x, y) - 0.75).abs() - 0.25


def _box(half_width: float, half_height: float) -> Distance:
    return lambda x, y: torch.maximum(x.abs() - half_width, y.abs() - half_height)


def _cross(x: Tensor, y: Tensor) -> Tensor:
    return torch.minimum(_box(0.95, 0.3)(x, y), _box(0.3, 0.95)(x, y))


def _star(points: int, inner: float) -> Distance:
    """Star with its first point upwards; ``inner`` is the radius of the notches (cos(pi/points): a regular polygon)."""
    half = math.pi / points
    notch_x, notch_y = inner * math.cos(half), inner * math.sin(half)
    edge = math.hypot(1 - notch_x, notch_y)

    def distance(x: Tensor, y: Tensor) -> Tensor:
        radius, angle = torch.hypot(x, y), torch.atan2(x, -y)
        angle = (torch.remainder(angle + half, 2 * half) - half).abs()  # fold all edges onto one
        return (notch_y * (radius * angle.cos() - 1) + (1 - notch_x) * radius * angle.sin()) / edge

    return distance


SHAPES: dict[str, Distance] = {
    "circle": lambda x, y: torch.hypot(x, y) - 1,
    "ring": _ring,
    "square": _star(4, math.cos(math.pi / 4)),
    "bar": _box(0.97, 0.25),
    "triangle": _star(3, math.cos(math.pi / 3)),
    "star": _star(5, 0.4),
    "cross": _cross,
}
ROUND = ("circle", "ring")  # turning changes nothing, so their angle is 0
MAX_ANGLE = 30  # degrees: below half the period of every other shape (the star's is 72), so the angle is visible


def load(num_images: int = 6000, storage_size: int = 32, seed: int = 0, channels: int | None = None) -> ImageData:
    """Draw one shape per image, anti-aliased; image i is the same whatever ``num_images`` is.

    The class is the shape; classes are balanced. Factors: ``x``, ``y``, the centre (-1..1 is border to border,
    y downwards); ``size``, the diameter of the circumscribed circle (share of the image's side, 0.35..0.7); ``angle``
    (degrees clockwise, -30..30; 0 for circle and ring); ``red``, ``green``, ``blue`` of the shape (0..1, the largest is
    1); ``background``, a grey level (0..0.6).

    Args:
        num_images: number of images.
        storage_size: side of the images, in pixels.
        seed: of all random choices.
        channels: 1 (grey), 3 (RGB), or None: RGB.
    """
    labels = torch.arange(num_images) % len(SHAPES)
    uniform = torch.from_numpy(np.random.default_rng(seed).random((num_images, 8), dtype=np.float32))
    size = 0.35 + 0.35 * uniform[:, 0]
    x, y = ((2 * uniform[:, 1:3] - 1) * (1 - size)[:, None]).unbind(1)  # wholly inside the image
    turns = torch.tensor([name not in ROUND for name in SHAPES])[labels]
    colour = uniform[:, 4:7] / uniform[:, 4:7].amax(1, keepdim=True).clamp(min=1e-6)
    factors = {"x": x, "y": y, "size": size, "angle": MAX_ANGLE * (2 * uniform[:, 3] - 1) * turns}
    factors |= dict(zip(("red", "green", "blue"), colour.unbind(1), strict=True))
    factors["background"] = 0.6 * uniform[:, 7]

    images = torch.empty(num_images, 3, storage_size, storage_size, dtype=torch.uint8)
    for label, distance in enumerate(SHAPES.values()):
        for rows in torch.nonzero(labels == label).flatten().split(256):
            images[rows] = _render(distance, {name: values[rows] for name, values in factors.items()}, storage_size)
    return ImageData(
        name="shapes",
        images=to_channels(images, channels),
        labels=labels,
        classes=tuple(SHAPES),
        splits={"train": torch.arange(num_images)},
        factors=factors,
    )


def _render(distance: Distance, factors: dict[str, Tensor], storage_size: int) -> Tensor:
    """Draw shapes with factors [B] each -> [B, 3, H, W] uint8."""
    column = {name: values[:, None, None] for name, values in factors.items()}
    grid = (torch.arange(storage_size) + 0.5) * (2 / storage_size) - 1
    dx, dy = grid - column["x"], grid[:, None] - column["y"]
    cos, sin = torch.deg2rad(column["angle"]).cos(), torch.deg2rad(column["angle"]).sin()
    scaled = distance((cos * dx + sin * dy) / column["size"], (cos * dy - sin * dx) / column["size"])
    pixels = scaled * column["size"] * (storage_size / 2)
    cover = (0.5 - pixels).clamp(0, 1)[:, None]  # share of the pixel inside the shape
    colour = torch.stack([column[name] for name in ("red", "green", "blue")], 1)
    return (255 * torch.lerp(column["background"][:, None].expand_as(colour), colour, cover)).round().to(torch.uint8)
