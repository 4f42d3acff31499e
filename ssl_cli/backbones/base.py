"""What every backbone is: inputs to features."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ssl_cli.backbones.foreign.origin import Origin
from ssl_cli.errors import UserError


class Backbone(nn.Module, ABC):
    """The network that is kept: methods train it, probes measure it."""

    dim: int  # width of the features
    in_channels: int  # of images: their colour channels
    min_frames: int | None = None  # of clips: fewest that it takes; None: it takes no clips
    min_size: int  # of images: smallest side, in pixels, that leaves something to average
    told: tuple[str, ...] = ("in_channels", "image_size")  # what it knows of its inputs, by the names of its arguments
    one_shape: bool = True  # whether the batches of a training are of one shape: compiling for each would not pay
    still: tuple[str, ...] = ()  # names of norms whose statistics stay, see `ssl_cli.backbones.adapt`
    origin: Origin | None = None  # of its weights, where somebody else has trained them

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Return features [B, dim] of normalised images [B, in_channels, H, W], H and W at least ``min_size``."""

    def example(self) -> Tensor:
        """Return one small input, on the CPU: of images [1, in_channels, min_size, min_size]."""
        return torch.zeros(1, self.in_channels, self.min_size, self.min_size)

    def feature_map(self, images: Tensor) -> Tensor:
        """Return the last map [B, dim, h, w]; of our own networks its mean over h and w is what `forward` returns.

        Dense tasks (what is hidden here? which colour is it there?) predict from it.
        """
        raise UserError(f"{type(self).__name__} has no feature map, which this method needs; write backbone=convnet")

    def blocks(self) -> list[nn.Module]:
        """Return the parts from input to output, for fine-tuning the last n or with learning rates that fall.

        Every parameter is in exactly one of them.
        """
        return [self]

    def pooled(self, out: Tensor) -> Tensor:
        """Return the mean over places [B, d] of what one of the `blocks` puts out, a map or tokens."""
        return out.mean((2, 3)) if out.ndim == 4 else out.mean(1) if out.ndim == 3 else out

    @classmethod
    def origin_of(cls, **settings: Any) -> Origin | None:
        """Return where the weights that ``settings`` name come from, and what belongs to them; None for random ones.

        It is asked before the inputs are there: what belongs to weights (mean, size, other settings of the backbone)
        becomes the run's wherever nothing else was typed.

        Raises:
            UserError: they are not there, or cannot be read.
        """
        return None


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode; afterwards each part gets its own mode back."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
