"""What every backbone is: images to features."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Backbone(nn.Module, ABC):
    """The network that is kept: methods train it, probes measure it."""

    dim: int  # width of the features
    in_channels: int  # colour channels of the images
    min_size: int  # smallest side of an image, in pixels, that leaves something to average

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Return features [B, dim] of normalised images [B, in_channels, H, W], H and W at least ``min_size``."""
