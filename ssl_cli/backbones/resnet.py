"""ResNets (He et al. 2016, arXiv:1512.03385) from torchvision, with random weights or those of others."""

from typing import Any

from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.backbones.foreign import of_torchvision
from ssl_cli.backbones.foreign.load import load
from ssl_cli.backbones.foreign.origin import Origin
from ssl_cli.backbones.norms import batch_norm, check_norm
from ssl_cli.errors import UserError, did_you_mean

# Stem -> smallest image: below it the last map is a single pixel made of padding.
_STEMS = {"cifar": 8, "imagenet": 32}


class ResNet(Backbone):
    """A torchvision ResNet without its classifier.

    Args:
        in_channels: colour channels of the images.
        arch: ``resnet18`` to ``resnet152``, ``resnext...`` or ``wide_resnet...``, as torchvision names them.
        stem: ``imagenet`` is a 7x7 convolution of stride 2 and a max-pool, which leave a quarter of the side;
            ``cifar`` is a 3x3 convolution of stride 1 and no pool, for images below 64 pixels (SimCLR, appendix B.9).
        zero_init_residual: start each residual branch at zero (Goyal et al. 2017); see `build_backbone` for the
            baseline of random weights.
        norm: ``batch``, or ``group`` (Wu and He 2018, 32 groups) for methods to which other images of the batch must
            not show.
        norm_momentum: share of BatchNorm's running statistics that a batch replaces, in (0, 1].
        split_norms: parts of a batch that BatchNorm normalises each by itself; 1: it is one.
        weights: None: random; ``pretrained``: torchvision's best; a name of torchvision's, such as ``IMAGENET1K_V2``; a
            file. They are of one ``stem``: published ones of ``imagenet``.

    Raises:
        UserError: ``arch``, ``stem`` or ``norm`` is unknown; the weights are not there, or not of this network.
    """

    def __init__(
        self,
        in_channels: int,
        arch: str = "resnet18",
        stem: str = "cifar",
        zero_init_residual: bool = True,
        norm: str = "batch",
        norm_momentum: float = 0.1,
        split_norms: int = 1,
        weights: str | None = None,
    ):
        super().__init__()
        from torchvision import models  # takes seconds

        _check_arch(arch)
        if stem not in _STEMS:
            raise UserError(f"backbone.stem={stem} is unknown{did_you_mean(stem, _STEMS)} (write cifar or imagenet)")
        check_norm(norm, ("batch", "group"), norm_momentum, split_norms)
        layer = {
            "batch": lambda channels: batch_norm(channels, norm_momentum, split_norms),
            "group": lambda channels: nn.GroupNorm(32, channels),
        }[norm]
        net = models.get_model(arch, weights=None, zero_init_residual=zero_init_residual, norm_layer=layer)
        if stem == "cifar":
            net.conv1 = nn.Conv2d(in_channels, 64, 3, stride=1, padding=1, bias=False)
            net.maxpool = nn.Identity()
        else:
            net.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.in_channels = in_channels
        self.dim = net.fc.in_features
        self.min_size = _STEMS[stem]
        net.fc = nn.Identity()
        self.net = net
        if (origin := self.origin_of(arch, weights)) is not None:
            self.origin = load(net, origin, f"backbone.weights={weights}", first=["conv1.weight"])

    @classmethod
    def origin_of(cls, arch: str = "resnet18", weights: str | None = None, **_: Any) -> Origin | None:
        """Return where the weights are and what belongs to them, see `Backbone.origin_of`."""
        _check_arch(arch)
        return None if weights is None else of_torchvision.origin(arch, weights)

    def forward(self, images: Tensor) -> Tensor:
        """Return features [B, dim] of normalised images [B, in_channels, H, W]."""
        return self.net(images)

    def feature_map(self, images: Tensor) -> Tensor:
        """Return the last map [B, dim, h, w]: an eighth of the side with the small stem, else a 32nd."""
        net = self.net
        x = net.maxpool(net.relu(net.bn1(net.conv1(images))))
        return net.layer4(net.layer3(net.layer2(net.layer1(x))))

    def blocks(self) -> list[nn.Module]:
        """Return the stem and the four stages."""
        net = self.net
        return [nn.ModuleList([net.conv1, net.bn1]), net.layer1, net.layer2, net.layer3, net.layer4]


def _check_arch(arch: str) -> None:
    from torchvision import models

    archs = models.list_models(module=models, include="*resne*")  # ResNeXt and wide ones too
    if arch not in archs:
        raise UserError(f"backbone.arch={arch} is unknown{did_you_mean(arch, archs)} (one of {', '.join(archs)})")
