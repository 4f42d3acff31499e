"""SimMIM (Xie et al. 2022, arXiv:2111.09886): hide patches in the image itself and predict their pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.masks import enlarge, shown


def masked_l1(predicted: Tensor, images: Tensor, masks: Tensor) -> Tensor:
    """Return the mean absolute error over the hidden pixels (equation 1).

    Args:
        predicted: [B, C, H, W].
        images: [B, C, H, W].
        masks: [B, 1, H, W] bool, True where hidden; equally many in each image.
    """
    hidden = masks.to(predicted.dtype)
    return ((predicted - images).abs() * hidden).sum() / (hidden.sum() * images.shape[1])


class SimMIM(Method):
    """A learned colour replaces hidden pixels; one linear layer at each place of the last map predicts them."""

    def __init__(self, backbone: Backbone, data: DataInfo):
        super().__init__(backbone, data)
        self.mask_colour = nn.Parameter(torch.zeros(data.channels, 1, 1))
        with torch.no_grad():
            probe = torch.zeros(1, data.channels, data.image_size, data.image_size)
            self.stride = data.image_size // backbone.eval().feature_map(probe).shape[2]
        backbone.train()
        self.head = nn.Conv2d(backbone.dim, data.channels * self.stride**2, 1)

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take one view [B, C, H, W] and masks [B, h, w], True where hidden."""
        images = task.views[0]
        masks = enlarge(task.masks, images.shape[2])
        return {"loss": masked_l1(self.predicted(images, masks), images, masks)}

    def predicted(self, images: Tensor, masks: Tensor) -> Tensor:
        """Return all pixels [B, C, H, W], predicted from the visible ones; masks are [B, 1, H, W]."""
        seen = torch.where(masks, self.mask_colour.to(images.dtype), images)
        pixels = F.pixel_shuffle(self.head(self.backbone.feature_map(seen)), self.stride)
        if pixels.shape != images.shape:  # the backbone's strides do not divide the side
            pixels = F.interpolate(pixels, images.shape[2:], mode="bilinear")
        return pixels if pixels.dtype == torch.float64 else pixels.float()

    def pictures(self, task: Task) -> dict[str, Tensor]:
        """Return masked input, reconstruction and original."""
        images = task.views[0]
        masks = enlarge(task.masks, images.shape[2])
        return {"reconstruction": shown(images, self.predicted(images, masks), masks, self.data)}
