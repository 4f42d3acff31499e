"""Which colour is it? Zhang et al. 2016, arXiv:1603.08511."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.augment.augment import Augment
from ssl_cli.augment.lab import lab_to_rgb, rgb_to_lab
from ssl_cli.batch import Batch, Target, Task
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError
from ssl_cli.pretext.base import Pretext
from ssl_cli.system.transfer import constant


def colour_bins(step: int = 10) -> Tensor:
    """Return the points [Q, 2] of a grid in the ab plane that sRGB can show at some lightness: 230 at a step of 10.

    sRGB can show a point that survives the conversion to sRGB and back. (The authors' list also has points just
    outside: 313.)
    """
    axis = torch.arange(-110.0, 111.0, step, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    lightness = torch.arange(1.0, 100.0, 1.0, dtype=torch.float64)
    lab = torch.cat([lightness.repeat(len(grid), 1).unsqueeze(2), grid[:, None].expand(-1, len(lightness), -1)], dim=2)
    lab = lab.permute(0, 2, 1).unsqueeze(3)  # [Q, 3, lightness, 1]
    error = (rgb_to_lab(lab_to_rgb(lab)) - lab).abs().amax(1)
    return grid[(error < 1).any(1).squeeze(1)].float()


def soft_encode(ab: Tensor, centres: Tensor, neighbours: int = 5, sigma: float = 5.0) -> Tensor:
    """Spread each colour over its nearest bins, with Gaussian weights that sum to 1 (section 2.2 of the paper).

    Args:
        ab: [B, 2, h, w].
        centres: [Q, 2].
        neighbours: bins that share a colour.
        sigma: of the Gaussian, in units of ab.

    Returns:
        [B, Q, h, w].
    """
    points = ab.permute(0, 2, 3, 1)
    distance, nearest = torch.cdist(points.flatten(0, 2), centres).topk(neighbours, largest=False)
    weights = (-distance.square() / (2 * sigma**2)).softmax(dim=1)
    encoded = weights.new_zeros(len(weights), len(centres)).scatter_(1, nearest, weights)
    return encoded.view(*points.shape[:3], -1).permute(0, 3, 1, 2)


class Colorization(Pretext):
    """The lightness of each image; the target is the colour at each place, as a distribution over bins.

    Args:
        augment: the recipe, applied before. The network would learn its changes of colour, so use one without any.
        data: facts about the images.
        reduction: side of the image divided by the side of the map of colours.
        smoothing: lambda of the weights that make rare colours count more; 1: all count the same, 0: by rarity alone.
    """

    def __init__(self, augment: Augment, data: DataInfo, *, reduction: int, smoothing: float):
        super().__init__(augment, data)
        if data.channels != 3:
            raise UserError(
                f"pretext=colorization needs images in colour, those of {data.name} are grey; choose another pretext "
                "(pretext=rotation), or data in colour such as dataset=shapes"
            )
        if data.image_size % reduction:
            raise UserError(
                f"pretext.reduction={reduction} does not divide the images' {data.image_size} pixels; write "
                f"pretext.reduction={math.gcd(reduction, data.image_size)}, or another {data.size_key}"
            )
        self.reduction = reduction
        self.centres = colour_bins()
        centres = tuple(map(tuple, self.centres.tolist()))
        self.target = Target("bins", len(centres), centres=centres, smoothing=smoothing)

    def __call__(self, batch: Batch, generator: torch.Generator) -> Task:
        """Return the lightness in every channel [B, 3, H, W], normalised, and colours [B, Q, H / r, W / r]."""
        zero, one = [0.0] * 3, [1.0] * 3
        (images,) = self.augment(batch.images, zero, one, generator, size=self.data.image_size)
        lab = rgb_to_lab(images)
        mean, std = (constant(v, images).view(3, 1, 1) for v in (self.data.mean, self.data.std))
        view = (lab[:, :1] / 100 - mean) / std
        ab = F.avg_pool2d(lab[:, 1:], self.reduction)
        return Task([view], soft_encode(ab, constant(self.target.centres, ab)), batch.labels, batch.indices)

    def shown(self, task: Task) -> dict[str, Tensor]:
        """Return the lightness, and the target colours on that lightness."""
        lightness = self.visible(task.views[0])
        ab = torch.einsum("bqhw,qc->bchw", task.targets, self.centres.to(task.targets))
        ab = F.interpolate(ab, lightness.shape[2:], mode="bilinear")
        colours = lab_to_rgb(torch.cat([100 * lightness.mean(1, keepdim=True), ab], dim=1))
        return {"lightness": lightness, "to be found": colours.clamp(0, 1)}
