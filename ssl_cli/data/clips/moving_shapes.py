"""Shapes that move, drawn on the fly: the class is how they move, and no single frame tells it."""

import numpy as np
import torch
from torch import Tensor

from ssl_cli.data.clips.base import ClipData
from ssl_cli.data.images.base import to_channels
from ssl_cli.data.images.shapes import SHAPES

DRAWN = ("square", "bar", "triangle", "star", "cross")  # what is round would not be seen to turn
MOTIONS = ("right", "left", "up", "down", "clockwise", "counter-clockwise", "growing", "there and back")
DIRECTIONS = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])  # x, y of the first four; y is downwards

SMALLEST, LARGEST = 0.3, 0.6  # diameter of the circumscribed circle, as a share of the side
STEP = 0.03, 0.07  # a frame's move, as a share of the side
TURN = 10.0, 25.0  # a frame's turn, in degrees: below half of 72, after which a star looks the same
GROWTH = 1 / 24, 1 / 12  # a frame's growth, as a share of the way from the smallest to the largest
HALF_PERIOD = 3.0, 6.0  # frames in which what goes there and back goes one way
FPS = 8.0  # frames a second, as clips of files would have them


def load(
    num_clips: int = 2000,
    storage_size: int = 32,
    frames: int = 16,
    view_frames: int = 8,
    seed: int = 0,
    channels: int | None = None,
) -> ClipData:
    """Draw one shape per clip, anti-aliased; what leaves the frame at one side comes in at the opposite one.

    Clip i is the same whatever ``num_clips`` is; classes are balanced. Place, size, angle, shape, colours and speed are
    drawn independently of the class, and each motion keeps their distribution: place and angle are uniform on circles,
    the logarithm of the size goes round between smallest and largest. So a frame of any clip, whatever its number, is
    distributed as all others: it says nothing of the class.

    Factors: ``size`` of what does not grow (share of the side, 0.3..0.6); ``speed`` of what moves (share of the side
    per frame); ``red``, ``green``, ``blue`` of the shape (0..1, the largest is 1); ``background``, a grey level
    (0..0.6).

    Args:
        num_clips: how many.
        storage_size: side of the frames, in pixels.
        frames: of each clip.
        view_frames: of what a network sees; at most ``frames``.
        seed: of everything.
        channels: 1 (grey), 3 (RGB), or None: RGB.

    Raises:
        UserError: ``view_frames`` is more than ``frames``.
    """
    labels = torch.arange(num_clips) % len(MOTIONS)
    uniform = torch.from_numpy(np.random.default_rng(seed).random((num_clips, 13), dtype=np.float32))
    shape = (uniform[:, 0] * len(DRAWN)).long()
    colour = uniform[:, 1:4] / uniform[:, 1:4].amax(1, keepdim=True).clamp(min=1e-6)
    background = 0.6 * uniform[:, 4]
    poses = _poses(labels, uniform[:, 5:], frames)

    clips = torch.empty(num_clips, frames, 3, storage_size, storage_size, dtype=torch.uint8)
    for kind, name in enumerate(DRAWN):
        for rows in torch.nonzero(shape == kind).flatten().split(64):
            cover = _cover(name, {key: values[rows].flatten() for key, values in poses.items()}, storage_size)
            cover = cover.view(len(rows), frames, 1, storage_size, storage_size)
            ground, paint = background[rows].view(-1, 1, 1, 1, 1), colour[rows].view(-1, 1, 3, 1, 1)
            clips[rows] = (255 * (ground + cover * (paint - ground))).round_().to(torch.uint8)

    moves = torch.tensor([motion in ("right", "left", "up", "down", "there and back") for motion in MOTIONS])[labels]
    grows = labels == MOTIONS.index("growing")
    factors = {
        "size": poses["size"][:, 0].masked_fill(grows, torch.nan),
        "speed": _between(uniform[:, 9], *STEP).masked_fill(~moves, torch.nan),
        **dict(zip(("red", "green", "blue"), colour.unbind(1), strict=True)),
        "background": background,
    }
    return ClipData(
        name="moving_shapes",
        clips=clips if channels is None else to_channels(clips.flatten(0, 1), channels).unflatten(0, (-1, frames)),
        labels=labels,
        classes=MOTIONS,
        splits={"train": torch.arange(num_clips)},
        factors=factors,
        view_frames=view_frames,
        fps=FPS,
    )


def _poses(labels: Tensor, uniform: Tensor, frames: int) -> dict[str, Tensor]:
    """Return ``x``, ``y`` in [-1, 1), ``angle`` in degrees clockwise and ``size``, each [N, T]."""
    time = torch.arange(frames)
    x, y, angle, size, speed, period, phase, way = uniform.split(1, dim=1)  # [N, 1] each
    straight = (labels < len(DIRECTIONS)).unsqueeze(1)
    clockwise, counter, grows, returns = ((labels == number).unsqueeze(1) for number in range(4, 8))

    half = _between(period, *HALF_PERIOD)
    swing = half - (torch.remainder(time + 2 * half * phase, 2 * half) - half).abs()  # 0 .. half .. 0, from anywhere
    path = time * straight + swing * returns
    direction = DIRECTIONS[torch.where(straight, labels.unsqueeze(1), (4 * way).long()).clamp(max=3).squeeze(1)]
    moved = 2 * _between(speed, *STEP) * path  # the side is 2
    x, y = (
        torch.remainder(2 * start + moved * part, 2) - 1
        for start, part in zip((x, y), direction.split(1, dim=1), strict=True)
    )
    turned = (clockwise.float() - counter.float()) * _between(speed, *TURN) * time
    grown = torch.remainder(size + grows * _between(speed, *GROWTH) * time, 1)
    return {"x": x, "y": y, "angle": 360 * angle + turned, "size": SMALLEST * (LARGEST / SMALLEST) ** grown}


def _cover(shape: str, poses: dict[str, Tensor], side: int) -> Tensor:
    """Return the share of each pixel inside a shape with poses [B] each -> [B, H, W]."""
    x, y, angle, size = (poses[name].view(-1, 1, 1) for name in ("x", "y", "angle", "size"))
    grid = (torch.arange(side) + 0.5) * (2 / side) - 1
    dx, dy = (torch.remainder(away + 1, 2) - 1 for away in (grid - x, grid[:, None] - y))  # the shorter way round
    cos, sin = torch.deg2rad(angle).cos(), torch.deg2rad(angle).sin()
    distance = SHAPES[shape]((cos * dx + sin * dy) / size, (cos * dy - sin * dx) / size)
    return (0.5 - distance * size * (side / 2)).clamp_(0, 1)


def _between(share: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * share
