"""A backbone is built with the weights that its settings name, or, for the baseline, with none of them."""

import pytest
import torch

from ssl_cli.backbones.build import build_backbone
from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.errors import UserError

CONVNET = {"_target_": "ssl_cli.backbones.convnet.ConvNet", "widths": [4, 8], "norm": "batch"}
INFO = ImageInfo("toy", 1, 16, ("a", "b"), 8, 4, 4, (0.5,), (0.2,))


class Foreign(ConvNet):
    """A backbone that knows how to begin from somebody else's weights: here, all are 7."""

    def __init__(self, in_channels: int, weights: str | None, **settings):
        super().__init__(in_channels, **settings)
        if weights is not None:
            for parameter in self.parameters():
                torch.nn.init.constant_(parameter, 7.0)


def test_the_seed_alone_makes_random_weights():
    one, same, other = (build_backbone(CONVNET, INFO, seed, pretrained=False).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert any(not torch.equal(value, other[name]) for name, value in one.items())
    torch.manual_seed(3)
    direct = ConvNet(1, widths=[4, 8], norm="batch").state_dict()
    assert all(torch.equal(value, direct[name]) for name, value in one.items())


def test_foreign_weights_never_come_into_the_baseline():
    node = {**CONVNET, "_target_": f"{__name__}.Foreign", "weights": "theirs"}
    theirs = build_backbone(node, INFO, 3, pretrained=True)
    assert all((parameter == 7).all() for parameter in theirs.parameters())
    baseline, random = (
        build_backbone(node, INFO, 3, pretrained=False),
        build_backbone(CONVNET, INFO, 3, pretrained=True),
    )
    assert all(torch.equal(value, random.state_dict()[name]) for name, value in baseline.state_dict().items())
    assert node["weights"] == "theirs"


def test_the_baseline_of_a_resnet_has_residual_branches_that_do_something():
    node = {"_target_": "ssl_cli.backbones.resnet.ResNet", "arch": "resnet18", "zero_init_residual": True}
    trained, baseline = (build_backbone(node, INFO, 3, pretrained=choice) for choice in (True, False))
    ends = [(net.net.layer1[0].bn2.weight, net.net.layer4[1].bn2.weight) for net in (trained, baseline)]
    assert all((weight == 0).all() for weight in ends[0]) and all((weight == 1).all() for weight in ends[1])
    same = baseline.state_dict()  # otherwise they are the weights that the seed gave the run
    differing = {name for name, value in trained.state_dict().items() if not torch.equal(value, same[name])}
    assert len(differing) == 8 and all(name.endswith("bn2.weight") for name in differing)


def test_images_that_are_too_small_are_one_line():
    small = ImageInfo("toy", 1, 2, ("a", "b"), 8, 4, 4, (0.5,), (0.2,))
    with pytest.raises(UserError, match="at least 4 pixels, toy has 2; write dataset.storage_size=4"):
        build_backbone(CONVNET, small, 0, pretrained=False)
