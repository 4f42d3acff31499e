"""A small convolutional net for images of 16 to 32 pixels, quick to train on a CPU."""

from collections.abc import Sequence

from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone


class Stage(nn.Module):
    """Halve the map and widen it, then refine it by a residual convolution: [B, I, H, W] to [B, O, H/2, W/2]."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.down = nn.Sequential(*_conv_norm(in_channels, out_channels, stride=2), nn.ReLU(inplace=True))
        self.refine = nn.Sequential(*_conv_norm(out_channels, out_channels, stride=1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the refined map."""
        x = self.down(x)
        return (x + self.refine(x)).relu_()


class ConvNet(Backbone):
    """A 3x3 stem at full resolution, then stages that each halve the map, then the mean over the map.

    Args:
        in_channels: colour channels of the images.
        widths: channels of the stem and of each stage; the last is the feature width. The default has 0.28 million
            parameters.
    """

    def __init__(self, in_channels: int, widths: Sequence[int] = (32, 64, 128)):
        super().__init__()
        self.in_channels = in_channels
        self.dim = widths[-1]
        self.min_size = 2 ** len(widths)  # the last map still has 2x2 pixels
        self.stem = nn.Sequential(*_conv_norm(in_channels, widths[0], stride=1), nn.ReLU(inplace=True))
        self.stages = nn.Sequential(*(Stage(i, o) for i, o in zip(widths, widths[1:], strict=False)))

    def forward(self, images: Tensor) -> Tensor:
        """Return features [B, dim] of normalised images [B, in_channels, H, W]."""
        return self.stages(self.stem(images)).mean((2, 3))


def _conv_norm(in_channels: int, out_channels: int, stride: int) -> tuple[nn.Module, nn.Module]:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv, nn.BatchNorm2d(out_channels)
