"""Random parameters for n images at once, on the generator's device; torchvision's distributions."""

import math

import torch
from torch import Tensor


def uniform(n: int, low: float, high: float, generator: torch.Generator, width: int | None = None) -> Tensor:
    """Return [n], or [n, width], uniform in [low, high)."""
    shape = (n,) if width is None else (n, width)
    return torch.rand(shape, generator=generator, device=generator.device).mul_(high - low).add_(low)


def chance(n: int, p: float, generator: torch.Generator) -> Tensor:
    """Return [n] bool, each True with probability p."""
    return torch.rand(n, generator=generator, device=generator.device) < p


def whole(n: int, count: int, generator: torch.Generator) -> Tensor:
    """Return [n] int64, uniform in 0, 1, ..., count - 1."""
    return torch.randint(count, (n,), generator=generator, device=generator.device)


def orders(n: int, k: int, generator: torch.Generator) -> Tensor:
    """Return [n, k] int64: a uniformly random permutation of 0..k-1 per row."""
    return torch.rand(n, k, generator=generator, device=generator.device).argsort(1)


def crop_boxes(
    n: int,
    height: int | Tensor,
    width: int | Tensor,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
    attempts: int = 10,
) -> Tensor:
    """Return [n, 4] boxes (top, left, height, width) in whole pixels, drawn as ``RandomResizedCrop.get_params``.

    The area is uniform in ``scale``, a fraction of the image's, and the aspect ratio width / height log-uniform in
    ``ratio``. A box that does not fit is drawn again; after ``attempts`` the largest centred box within ``ratio``
    replaces it. Here all attempts are drawn at once, and the first that fits counts.

    Args:
        n: images.
        height: of all images, or [n] of each, in pixels.
        width: likewise.
        scale: lowest and highest share of the area.
        ratio: lowest and highest aspect ratio.
        generator: the only source of randomness.
        attempts: boxes to draw for each image.
    """
    exact = torch.stack([torch.as_tensor(side).expand(n) for side in (height, width)]).double()  # [2, n], on the CPU
    height, width = exact.to(generator.device, torch.float32).unsqueeze(2)
    area = uniform(n, *scale, generator, width=attempts) * (height * width)
    aspect = uniform(n, math.log(ratio[0]), math.log(ratio[1]), generator, width=attempts).exp_()
    w, h = (area * aspect).sqrt_().round_(), (area / aspect).sqrt_().round_()
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first = fits.int().argmax(1, keepdim=True)
    w, h, found = (v.gather(1, first).squeeze(1) for v in (w, h, fits))
    top = torch.floor(uniform(n, 0, 1, generator) * (height.squeeze(1) - h + 1))
    left = torch.floor(uniform(n, 0, 1, generator) * (width.squeeze(1) - w + 1))

    height, width = exact
    most = torch.minimum(height, (width / ratio[0]).round()), torch.minimum(width, (height * ratio[1]).round())
    centred = torch.stack([(height - most[0]) // 2, (width - most[1]) // 2, *most], dim=1).to(h)
    return torch.where(found.unsqueeze(1), torch.stack([top, left, h, w], dim=1), centred)
