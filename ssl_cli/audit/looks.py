"""What can be said of each image by itself: blank, or far from the others in size, shape or brightness."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.data.images.squares import Squares
from ssl_cli.probes.progress import tracked

SIDE = 32  # pixels, at most, of the images that are compared
CHUNK = 1024
BLANK = 2.0  # levels of 255: deviation of a blank image's pixels
DARK, BRIGHT = 0.1, 0.9  # mean of an image that can be too dark or too bright
FAR = 3.0  # times the distance between the quartiles, beyond them: Tukey's "far out"
SIZE = 4.0  # times the median, or a fourth of it
LONG, UNUSUAL = 3.0, 2.0  # an aspect, and how many times the median one it is


def small(images: Tensor | Squares, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return images at most 32 pixels wide [n, C, s, s] uint8, and mean and deviation [n] of their pixels, in 0..255.

    The deviation is that of whole images, of all channels from the channel's own mean.

    Args:
        images: [N, C, H, W] uint8.
        at: [n] positions.
    """
    side = min(SIDE, images.shape[-1])
    made = torch.empty(len(at), images.shape[1], side, side, dtype=torch.uint8)
    mean, deviation = torch.empty(len(at)), torch.empty(len(at))
    for rows in tracked(torch.arange(len(at)).split(CHUNK)):
        x = images[at[rows]].float()
        mean[rows], deviation[rows] = x.mean((1, 2, 3)), x.var((2, 3), correction=0).mean(1).sqrt()
        x = x if x.shape[-1] == side else F.interpolate(x, (side, side), mode="bicubic", antialias=True)
        made[rows] = x.round().clamp(0, 255).to(torch.uint8)
    return made, mean, deviation


def extreme_brightness(mean: Tensor) -> Tensor:
    """Return which images [n] bool are dark or bright, and far from the others in that; from means in 0..255."""
    low, high = mean.quantile(torch.tensor([0.25, 0.75])) if len(mean) else (0.0, 0.0)
    reach = FAR * (high - low)
    dark = (mean < 255 * DARK) & (mean < low - reach)
    return dark | (mean > 255 * BRIGHT) & (mean > high + reach)


def extreme_sizes(sizes: Sequence[tuple[int, int] | None]) -> dict[int, str]:
    """Return which images are far larger or smaller than the median one: place -> how large it is, in words.

    Args:
        sizes: width and height in pixels; None: not known.
    """
    sides = {i: min(size) for i, size in enumerate(sizes) if size}
    if not sides:
        return {}
    middle = float(torch.tensor(list(sides.values())).float().median())
    return {
        i: f"{sizes[i][0]}x{sizes[i][1]} pixels, where half of the images have a shorter side of {middle:.0f} or more"
        for i, side in sides.items()
        if side * SIZE <= middle or side >= SIZE * middle
    }


def extreme_aspects(sizes: Sequence[tuple[int, int] | None]) -> dict[int, str]:
    """Return which images are far longer than the median one: place -> its shape in words; see `extreme_sizes`."""
    ratios = {i: size[0] / size[1] for i, size in enumerate(sizes) if size}
    if not ratios:
        return {}
    middle = float(torch.tensor(list(ratios.values())).log().median().exp())
    return {
        i: f"{sizes[i][0]}x{sizes[i][1]} pixels, {max(ratio, 1 / ratio):.1f} to 1"
        for i, ratio in ratios.items()
        if max(ratio, 1 / ratio) >= LONG and max(ratio / middle, middle / ratio) >= UNUSUAL
    }
