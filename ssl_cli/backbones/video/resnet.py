"""Video ResNets (Tran et al. 2018, arXiv:1711.11248) from torchvision, with random weights or those of others."""

from typing import Any

import torch
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.backbones.foreign import of_torchvision, read
from ssl_cli.backbones.foreign.load import load
from ssl_cli.backbones.foreign.named import file_named
from ssl_cli.backbones.foreign.origin import Origin
from ssl_cli.errors import UserError, did_you_mean

ARCHS = ("r2plus1d_18", "mc3_18", "r3d_18")
KINETICS = {"mean": (0.43216, 0.394666, 0.37645), "std": (0.22803, 0.22145, 0.216989), "size": 112}


class VideoResNet(Backbone):
    """A torchvision ResNet for clips, without its classifier.

    Args:
        in_channels: colour channels of the frames.
        arch: ``r2plus1d_18`` (a convolution over space, then one over time), ``r3d_18`` (over both at once) or
            ``mc3_18`` (over both in the first stages alone).
        weights: None: random; ``pretrained``: torchvision's best, ``KINETICS400_V1``; a file.

    Raises:
        UserError: ``arch`` is unknown; the weights are not there, or not of this network.
    """

    told = ("in_channels",)
    min_frames = 1

    def __init__(self, in_channels: int, arch: str = "r2plus1d_18", weights: str | None = None):
        super().__init__()
        from torchvision import models  # takes seconds

        _check_arch(arch)
        net = models.get_model(arch, weights=None)
        first = net.stem[0]
        if in_channels != first.in_channels:
            net.stem[0] = nn.Conv3d(
                in_channels, first.out_channels, first.kernel_size, first.stride, first.padding, bias=False
            )
            nn.init.kaiming_normal_(net.stem[0].weight, mode="fan_out", nonlinearity="relu")
        self.in_channels, self.dim, self.min_size = in_channels, net.fc.in_features, 16
        net.fc = nn.Identity()
        self.net = net
        if (origin := self.origin_of(arch, weights)) is not None:
            self.origin = load(net, origin, f"backbone.weights={weights}", first=["stem.0.weight"])

    @classmethod
    def origin_of(cls, arch: str = "r2plus1d_18", weights: str | None = None, **_: Any) -> Origin | None:
        """Return where the weights are and what belongs to them, see `Backbone.origin_of`."""
        _check_arch(arch)
        if weights is None:
            return None
        if (path := file_named(weights)) is None:
            return of_torchvision.origin(arch, weights)
        file = read.weights_in(path)
        return Origin(str(file), str(file), assumed=True, **KINETICS).stating(read.about(file))

    def forward(self, clips: Tensor) -> Tensor:
        """Return features [B, dim] of normalised clips [B, T, in_channels, H, W]."""
        return self.net(clips.transpose(1, 2))

    def example(self) -> Tensor:
        """Return one small clip [1, 2, in_channels, min_size, min_size]."""
        return torch.zeros(1, 2, self.in_channels, self.min_size, self.min_size)

    def blocks(self) -> list[nn.Module]:
        """Return the stem and the four stages."""
        net = self.net
        return [net.stem, net.layer1, net.layer2, net.layer3, net.layer4]

    def pooled(self, out: Tensor) -> Tensor:
        """Return the mean over time and places [B, d] of what a block puts out [B, d, T, h, w]."""
        return out.mean((2, 3, 4))


def _check_arch(arch: str) -> None:
    if arch not in ARCHS:
        raise UserError(f"backbone.arch={arch} is unknown{did_you_mean(str(arch), ARCHS)} (one of {', '.join(ARCHS)})")
