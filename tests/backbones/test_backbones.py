import pytest
import torch

from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.backbones.resnet import ResNet
from ssl_cli.errors import UserError


def check(backbone, side):
    images = torch.randn(2, backbone.in_channels, side, side)
    features = backbone(images)
    assert features.shape == (2, backbone.dim)
    assert torch.isfinite(features).all()
    assert not torch.allclose(features[0], features[1])
    features.sum().backward()
    assert all(p.grad is not None for p in backbone.parameters())


@pytest.mark.parametrize("side", [8, 16, 17, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_convnet(channels, side):
    backbone = ConvNet(channels)
    assert side >= backbone.min_size
    check(backbone, side)


def test_convnet_is_small_and_its_width_is_the_last():
    assert 0.2e6 < sum(p.numel() for p in ConvNet(3).parameters()) < 0.4e6
    assert ConvNet(3, widths=(8, 16, 24, 40)).dim == 40


def test_a_stem_of_stride_2_halves_the_map_and_asks_for_twice_the_pixels():
    images = torch.randn(2, 3, 32, 32)
    full, halved = ConvNet(3, (4, 8)), ConvNet(3, (4, 8), stem_stride=2)
    assert full.feature_map(images).shape[2:] == (16, 16) and halved.feature_map(images).shape[2:] == (8, 8)
    assert halved.min_size == 2 * full.min_size == 8
    assert full.state_dict().keys() == halved.state_dict().keys()
    check(halved, 9)
    with pytest.raises(UserError, match="backbone.stem_stride=4 is neither 1"):
        ConvNet(3, stem_stride=4)


@pytest.mark.parametrize(("stem", "side", "map_side"), [("cifar", 32, 4), ("imagenet", 64, 2)])
def test_resnet_stems(stem, side, map_side):
    backbone = ResNet(1, stem=stem, zero_init_residual=False)
    maps = []
    backbone.net.layer4.register_forward_hook(lambda module, args, output: maps.append(output))
    check(backbone, side)
    assert backbone.dim == 512
    assert maps[0].shape[2:] == (map_side, map_side)
    check(ResNet(3, stem=stem), backbone.min_size)


def test_resnet_has_no_classifier_and_knows_its_width():
    backbone = ResNet(3, arch="resnet50")
    assert backbone.dim == 2048
    assert not any("fc" in name for name in backbone.state_dict())


@pytest.mark.parametrize(("key", "value", "hint"), [("arch", "resnet81", "resnet18"), ("stem", "cifr", "'cifar'")])
def test_resnet_errors_name_the_valid_spelling(key, value, hint):
    with pytest.raises(UserError, match=f"backbone.{key}={value}.*{hint}"):
        ResNet(3, **{key: value})
