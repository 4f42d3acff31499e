"""Photometric operations on a batch, one parameter per image.

Every function takes images [B, C, H, W] float in [0, 1], C = 1 or 3, and returns new ones; a parameter called
``factor``, ``shift`` or ``sigma`` is a tensor [B]. Each equals the torchvision function named in its docstring,
applied image by image, to 1e-5. As there, saturation, hue and grayscale leave 1-channel images as they are.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.augment.geometry import separable
from ssl_cli.augment.subset import apply_where
from ssl_cli.errors import UserError
from ssl_cli.system.transfer import constant, send

GREY_WEIGHTS = (0.2989, 0.587, 0.114)  # ITU-R 601-2 luma, as torchvision and Pillow round it


def to_input(images: Tensor, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> Tensor:
    """Turn stored images [B, C, H, W] uint8 into the backbone's input without augmentation: the evaluation view."""
    return normalize(images.float().div_(255), mean, std)


def normalize(images: Tensor, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> Tensor:
    """Return ``(images - mean) / std`` with one mean and one std per channel [C], in units of [0, 1]."""
    mean, std = (constant(v, images).view(-1, 1, 1) for v in (mean, std))
    return images.sub(mean).div_(std)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply by ``factor`` [B] >= 0 (``adjust_brightness``)."""
    return images.mul(_column(factor, images)).clamp_(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean of the image's luma: 0 is flat grey, 1 the image (``adjust_contrast``)."""
    channel_means = images.mean((2, 3), keepdim=True)
    return _blend(images, _luma(channel_means), factor)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the luma: 0 is a grey image, 1 the image (``adjust_saturation``)."""
    return images.clone() if images.shape[1] == 1 else _blend(images, _luma(images), factor)


def hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue by ``shift`` [B] in [-0.5, 0.5] full circles in HSV space (``adjust_hue``)."""
    if images.shape[1] == 1:
        return images.clone()
    # HSV, with the hue h in sixths of a circle, 0 = red. The shift does not change value and chroma, so no conversion
    # there and back is needed: a pure hue has the closed form clamp(|h - 3| - 1, 2 - |h - 2|, 2 - |h - 4|).
    # Red is the lowest channel plus that share of the chroma; green and blue are the highest less the missing share.
    red, green, blue = images.split(1, dim=1)
    value = torch.maximum(torch.maximum(red, green), blue)
    lowest = torch.minimum(torch.minimum(red, green), blue)
    chroma = value - lowest
    green_or_blue = torch.where(value == green, (blue - red).add_(chroma, alpha=2), (red - green).add_(chroma, alpha=4))
    h = torch.where(value == red, green - blue, green_or_blue)
    h.div_(chroma.clamp_min(1e-12))  # a grey pixel has chroma 0: there any hue gives the same colour
    h.add_(_column(shift * 6, images))
    h.sub_((h / 6).floor_(), alpha=6)  # into [0, 6); a third of the cost of remainder_
    if torch.compiler.is_compiling():  # the compiler plans memory itself and cannot write to views
        shares = ((h - 3).abs() - 1, (h - 2).abs() - 1, (h - 4).abs() - 1)
        red, green, blue = (chroma * share.clamp(0, 1) for share in shares)
        return torch.cat([lowest + red, value - green, value - blue], dim=1)
    turned = torch.empty_like(images)
    red, green, blue = turned.split(1, dim=1)
    torch.addcmul(lowest, chroma, (h - 3).abs_().sub_(1).clamp_(0, 1), out=red)
    torch.addcmul(value, chroma, (h - 2).abs_().sub_(1).clamp_(0, 1), value=-1, out=green)
    torch.addcmul(value, chroma, h.sub_(4).abs_().sub_(1).clamp_(0, 1), value=-1, out=blue)
    return turned


def color_jitter(images: Tensor, operations: Sequence[tuple[Callable, Tensor]], order: Tensor) -> Tensor:
    """Apply K operations to each image in an order of its own (``ColorJitter``).

    ``operations`` are pairs (function of this module, its parameter [B]); ``order`` [B, K] int64 holds a permutation
    of 0..K-1 per image, or only -1 for an image that does not change. Each operation still runs on many images at once:
    those with it in the same place.
    """
    images = images.clone(memory_format=torch.contiguous_format)
    for place in order.unbind(1):
        for k, (operation, parameter) in enumerate(operations):
            images = apply_where(place == k, images, operation, parameter)
    return images


def grayscale(images: Tensor) -> Tensor:
    """Replace each channel by the luma, keeping the number of channels (``rgb_to_grayscale``)."""
    return _luma(images).expand_as(images).clone()


def solarize(images: Tensor, threshold: float) -> Tensor:
    """Invert the pixels at or above ``threshold`` in [0, 1] (``solarize``)."""
    return torch.where(images >= threshold, 1 - images, images)


def gaussian_blur(images: Tensor, sigma: Tensor, kernel: int) -> Tensor:
    """Blur with standard deviations ``sigma`` [B] > 0 in pixels, reflecting at the border (v2 ``gaussian_blur``).

    ``kernel`` is the odd width in pixels at which the Gaussian is cut off. Raises UserError if the image is too small
    to reflect so many pixels.
    """
    batch, channels, height, width = images.shape
    reach = kernel // 2
    if reach >= min(height, width):
        raise UserError(
            f"blur.kernel is {kernel} pixels, too wide for images of {height} x {width}: at most "
            f"{2 * min(height, width) - 1}; a value below 1 is a fraction of the image's width"
        )
    # torchvision spreads k taps over +-(k - 1) / (2 sqrt 2), so that the exponent needs no factor 1/2.
    taps = torch.arange(-reach, reach + 1, device=images.device)
    weights = torch.softmax(-(taps / (2**0.5 * send(sigma, images.device, images.dtype).unsqueeze(1))).square(), dim=1)
    rows, columns = (
        torch.einsum("bk,koi->boi", weights, _reflected(taps, size, images.dtype)) for size in (height, width)
    )
    return separable(images, rows, columns)


def gaussian_noise(images: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise of standard deviation ``std``, clipped to [0, 1] (v2 ``gaussian_noise``)."""
    noise = torch.randn(images.shape, generator=generator, device=generator.device, dtype=images.dtype)
    return send(noise, images.device).mul_(std).add_(images).clamp_(0, 1)


def _column(parameter: Tensor, images: Tensor) -> Tensor:
    return send(parameter, images.device, images.dtype).view(-1, 1, 1, 1)


def _luma(images: Tensor) -> Tensor:
    """Return the luma [B, 1, H, W]."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    return (red * GREY_WEIGHTS[0]).add_(green, alpha=GREY_WEIGHTS[1]).add_(blue, alpha=GREY_WEIGHTS[2])


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(other, images, _column(factor, images)).clamp_(0, 1)


def _reflected(taps: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Return [k, size, size]: for each tap, a 1 where an output pixel reads its input pixel, reflected at the ends."""
    last = size - 1
    source = torch.arange(size, device=taps.device) + taps.unsqueeze(1)
    return F.one_hot(last - (last - source.abs()).abs(), size).to(dtype)
