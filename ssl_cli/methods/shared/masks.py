"""Hidden and visible patches of images, for masked methods."""

import torch
from torch import Tensor

from ssl_cli.data.info import DataInfo


def patchify(images: Tensor, size: int) -> Tensor:
    """Return patches [B, N, C size^2] of images [B, C, H, W], row by row."""
    return torch.nn.functional.unfold(images, size, stride=size).transpose(1, 2)


def unpatchify(patches: Tensor, size: int, height: int) -> Tensor:
    """Return images [B, C, height, W] of patches [B, N, C size^2]."""
    width = patches.shape[1] * size**2 // height
    return torch.nn.functional.fold(patches.transpose(1, 2), (height, width), size, stride=size)


def enlarge(masks: Tensor, height: int) -> Tensor:
    """Return masks of pixels [B, 1, height, W] of masks of patches [B, h, w]."""
    size = height // masks.shape[1]
    return masks.repeat_interleave(size, 1).repeat_interleave(size, 2).unsqueeze(1)


def shown(images: Tensor, predicted: Tensor, masks: Tensor, data: DataInfo) -> Tensor:
    """Return masked input, prediction (with the visible pixels pasted in) and original: [B, 3, C, H, W] in [0, 1].

    Args:
        images: [B, C, H, W] normalised.
        predicted: likewise.
        masks: [B, 1, H, W] bool.
        data: for the normalisation.
    """
    mean, std = (images.new_tensor(v).view(-1, 1, 1) for v in (data.mean, data.std))
    columns = [torch.where(masks, 0.0, images), torch.where(masks, predicted.to(images), images), images]
    return (torch.stack(columns, dim=1) * std + mean).clamp(0, 1)
