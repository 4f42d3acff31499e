"""A small convolutional net for images of 16 to 32 pixels, quick to train on a CPU."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.backbones.norms import batch_norm, check_norm
from ssl_cli.errors import UserError

MakeNorm = Callable[[int], nn.Module]  # of so many channels


class Stage(nn.Module):
    """Halve the map and widen it, then refine it by a residual convolution: [B, I, H, W] to [B, O, H/2, W/2]."""

    def __init__(self, in_channels: int, out_channels: int, norm: MakeNorm | None):
        super().__init__()
        self.down = nn.Sequential(*_conv_norm(in_channels, out_channels, 2, norm), nn.ReLU(inplace=True))
        self.refine = nn.Sequential(*_conv_norm(out_channels, out_channels, 1, norm))

    def forward(self, x: Tensor) -> Tensor:
        """Return the refined map."""
        x = self.down(x)
        return (x + self.refine(x)).relu_()


class ConvNet(Backbone):
    """A 3x3 stem, then stages that each halve the map, then the mean over the map.

    Args:
        in_channels: colour channels of the images.
        widths: channels of the stem and of each stage; the last is the feature width. The default has 0.28 million
            parameters.
        norm: after each convolution: ``batch``; ``group`` (Wu and He 2018, 8 channels a group) for methods to which
            other images of the batch must not show; ``none`` (the convolutions then have a bias) for energies.
        norm_momentum: share of BatchNorm's running statistics that a batch replaces, in (0, 1].
        split_norms: parts of a batch that BatchNorm normalises each by itself; 1: it is one.
        stem_stride: of the stem. 1 keeps the full resolution; 2 halves it at once: most of the time of a step goes into
            the first maps, which are the largest.

    Raises:
        UserError: ``norm`` is unknown, or ``stem_stride`` is neither 1 nor 2.
    """

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int] = (32, 64, 128),
        norm: str = "batch",
        norm_momentum: float = 0.1,
        split_norms: int = 1,
        stem_stride: int = 1,
    ):
        super().__init__()
        if stem_stride not in (1, 2):
            raise UserError(f"backbone.stem_stride={stem_stride} is neither 1 (full resolution) nor 2 (half of it)")
        check_norm(norm, ("batch", "group", "none"), norm_momentum, split_norms)
        make: dict[str, MakeNorm | None] = {
            "batch": lambda channels: batch_norm(channels, norm_momentum, split_norms),
            "group": lambda channels: nn.GroupNorm(max(1, channels // 8), channels),
            "none": None,
        }
        self.in_channels = in_channels
        self.dim = widths[-1]
        self.min_size = stem_stride * 2 ** len(widths)  # the last map still has 2x2 pixels
        stem = _conv_norm(in_channels, widths[0], stem_stride, make[norm])
        self.stem = nn.Sequential(*stem, nn.ReLU(inplace=True))
        self.stages = nn.Sequential(*(Stage(i, o, make[norm]) for i, o in zip(widths, widths[1:], strict=False)))

    def forward(self, images: Tensor) -> Tensor:
        """Return features [B, dim] of normalised images [B, in_channels, H, W]."""
        return self.feature_map(images).mean((2, 3))

    def feature_map(self, images: Tensor) -> Tensor:
        """Return the last map [B, dim, h, w], h = H / (stem_stride 2^stages) and w likewise."""
        return self.stages(self.stem(images))

    def blocks(self) -> list[nn.Module]:
        """Return the stem and each stage."""
        return [self.stem, *self.stages]


def _conv_norm(in_channels: int, out_channels: int, stride: int, norm: MakeNorm | None) -> list[nn.Module]:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=norm is None)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    if norm is None:
        nn.init.zeros_(conv.bias)
        return [conv]
    return [conv, norm(out_channels)]
