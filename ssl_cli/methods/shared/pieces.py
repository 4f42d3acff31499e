"""Rows of pieces of an input, for contrastive predictive coding: it predicts the later ones."""

import torch
from torch import Tensor

from ssl_cli.backbones.base import Backbone
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError


class Patches:
    """The patches of an image, row by row from the top: a square grid, in which they may overlap.

    Args:
        backbone: the network for a patch.
        data: facts about the images.
        size: side of a patch, in pixels.
        stride: between patches, in pixels.
        steps: rows that are predicted.
        skip: rows between the first and these.
    """

    def __init__(self, backbone: Backbone, data: DataInfo, size: int, stride: int, steps: int, skip: int):
        if size < backbone.min_size or size > data.image_size:
            raise UserError(
                f"method.patch_size={size} does not fit: this backbone needs {backbone.min_size} pixels or more, "
                f"the images have {data.image_size}; write method.patch_size={backbone.min_size}"
            )
        self.size, self.stride = size, stride
        self.rows = self.columns = (data.image_size - size) // stride + 1
        if self.rows <= steps + skip:
            raise UserError(
                f"method.stride={stride} gives a {self.rows}x{self.rows} grid of patches, too few rows for "
                f"method.steps={steps} and method.skip={skip}; write a smaller stride, or a larger {data.size_key}"
            )

    def __call__(self, images: Tensor) -> Tensor:
        """Return [B * rows * columns, C, size, size] of images [B, C, H, W]."""
        patches = images.unfold(2, self.size, self.stride).unfold(3, self.size, self.stride)
        return patches.permute(0, 2, 3, 1, 4, 5).flatten(0, 2).contiguous(memory_format=torch.channels_last)


class Stretches:
    """Short stretches of a clip that follow each other, one a row (Han et al. 2019, arXiv:1909.04656).

    Args:
        backbone: the network for a stretch.
        data: facts about the clips.
        frames: of a stretch.
        steps: stretches that are predicted.
        skip: stretches between the first and these.
    """

    columns = 1

    def __init__(self, backbone: Backbone, data: DataInfo, frames: int, steps: int, skip: int):
        self.frames, self.rows = frames, data.frames // frames
        if frames < backbone.min_frames:
            raise UserError(
                f"method.piece={frames} does not fit: this backbone needs {backbone.min_frames} frames or more; write "
                f"method.piece={backbone.min_frames}"
            )
        if self.rows <= steps + skip:
            raise UserError(
                f"method.piece={frames} cuts {data.frames} frames into {self.rows} pieces, too few for "
                f"method.steps={steps} and method.skip={skip}; write a smaller method.piece, or more "
                "dataset.view_frames"
            )

    def __call__(self, clips: Tensor) -> Tensor:
        """Return [B * rows, frames, C, H, W] of clips [B, T, C, H, W]; frames that are over at the end are left out."""
        return clips[:, : self.rows * self.frames].unflatten(1, (self.rows, self.frames)).flatten(0, 1)
