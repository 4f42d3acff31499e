"""A small net of convolutions over space and, each after one, over time, quick to train on a CPU."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.backbones.norms import batch_norm, check_norm
from ssl_cli.errors import UserError, did_you_mean

SEES = "frames", "differences"


class SpaceTime(nn.Module):
    """A 3x3 convolution over each frame, then one over three frames at each place, added: a (2+1)D block.

    Both are two-dimensional convolutions, for which CPUs have their quickest kernels: the second sees time as one
    direction and the places as the other.
    """

    def __init__(self, in_channels: int, channels: int, norm: Callable[[int], nn.Module]):
        super().__init__()
        self.space = nn.Conv2d(in_channels, channels, 3, 2, padding=1, bias=False)
        self.space_norm = norm(channels)
        self.time = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0), bias=False)
        self.time_norm = norm(channels)
        for conv in (self.space, self.time):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, clips: Tensor) -> Tensor:
        """Return [B, T, O, H/2, W/2] of clips [B, T, I, H, W]."""
        x = self.space(clips.flatten(0, 1))
        size = x.shape[2:]
        x = x.permute(0, 2, 3, 1).reshape(*clips.shape[:2], -1, x.shape[1])  # channels are last in memory: a view
        x = x.permute(0, 3, 1, 2)  # [B, O, T, H W]
        x = self.space_norm(x).relu_()
        x = (x + self.time_norm(self.time(x))).relu_()
        return x.permute(0, 2, 3, 1).unflatten(2, size).permute(0, 1, 4, 2, 3)


class VideoConvNet(Backbone):
    """Blocks that each halve the frames and look one frame further back and ahead, then the mean over places and time.

    Args:
        in_channels: colour channels of the frames.
        sees: ``frames``, or ``differences``: what changes from each frame to the next (Wang et al. 2016,
            arXiv:1608.00859, call it RGB difference), so that what stands still does not show.
        widths: channels of each block; the last is the feature width. The default has 0.16 million parameters.
        norm: after each convolution: ``batch``, or ``group`` (Wu and He 2018, 8 channels a group) for methods to which
            other clips of the batch must not show.
        norm_momentum: share of BatchNorm's running statistics that a batch replaces, in (0, 1].
        split_norms: parts of a batch that BatchNorm normalises each by itself; 1: it is one.

    Raises:
        UserError: ``sees`` or ``norm`` is none of the words above.
    """

    told = ("in_channels",)

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int] = (16, 32, 64, 128),
        sees: str = "frames",
        norm: str = "batch",
        norm_momentum: float = 0.1,
        split_norms: int = 1,
    ):
        super().__init__()
        if sees not in SEES:
            raise UserError(f"backbone.sees={sees} is not one of {', '.join(SEES)}{did_you_mean(sees, SEES)}")
        check_norm(norm, ("batch", "group"), norm_momentum, split_norms)

        def make(channels: int) -> nn.Module:
            if norm == "group":
                return nn.GroupNorm(max(1, channels // 8), channels)
            return batch_norm(channels, norm_momentum, split_norms)

        self.sees, self.min_frames = sees, 1 + (sees == "differences")
        self.in_channels, self.dim, self.min_size = in_channels, widths[-1], 2 ** len(widths)
        sizes = zip([in_channels, *widths], widths, strict=False)
        self.stages = nn.Sequential(*(SpaceTime(before, after, make) for before, after in sizes))

    def forward(self, clips: Tensor) -> Tensor:
        """Return features [B, dim] of normalised clips [B, T, in_channels, H, W], T ``min_frames`` or more."""
        if self.sees == "differences":
            clips = clips.diff(dim=1)
        return self.stages(clips).mean((1, 3, 4))

    def example(self) -> Tensor:
        """Return one small clip [1, 2, in_channels, min_size, min_size]."""
        return torch.zeros(1, 2, self.in_channels, self.min_size, self.min_size)

    def blocks(self) -> list[nn.Module]:
        """Return each block."""
        return [*self.stages]

    def pooled(self, out: Tensor) -> Tensor:
        """Return the mean over time and places [B, d] of what a block puts out [B, T, d, h, w]."""
        return out.mean((1, 3, 4))
