import numpy as np
import pytest
import torch
from experiments import image_info
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ssl_cli.backbones.base import Backbone
from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.backbones.timm import Timm
from ssl_cli.data.images.raw import pixels
from ssl_cli.probes.frozen import features
from ssl_cli.probes.frozen.features import Extractor, extract, fingerprint
from ssl_cli.probes.frozen.folded import FoldedConv, folded

INFO = image_info(1, 16, (0.5,), (0.25,))


@pytest.fixture
def images():
    return torch.randint(0, 256, (20, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return ConvNet(1, widths=(4, 8))


def test_extract_is_the_forward_pass_in_evaluation_mode(images, backbone):
    positions = torch.tensor([7, 3, 19])
    features = extract(backbone, images, positions, INFO, "cpu")
    with torch.no_grad():
        expected = backbone.eval()((images[positions].float() / 255 - 0.5) / 0.25)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-5)


def test_extract_leaves_every_mode_and_buffer_as_it_was(images, backbone):
    backbone.train()
    backbone.stem.eval()  # a frozen part inside
    before = fingerprint(backbone)
    extract(backbone, images, torch.arange(20), INFO, "cpu")
    assert backbone.training and backbone.stages[0].down[1].training
    assert not backbone.stem[1].training
    assert fingerprint(backbone) == before


def test_extract_restores_the_mode_after_an_error(images, backbone):
    with pytest.raises(RuntimeError):
        extract(backbone, images.repeat(1, 3, 1, 1), torch.arange(4), image_info(3, 16, (0.5,) * 3, (0.25,) * 3), "cpu")
    assert backbone.training


def test_extract_does_not_depend_on_the_batch_size(images, backbone):
    a, b = (extract(backbone, images, torch.arange(20), INFO, "cpu", batch_size=n) for n in (3, 512))
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_extract_ignores_an_outer_autocast(images, backbone):
    expected = extract(backbone, images, torch.arange(4), INFO, "cpu")
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(extract(backbone, images, torch.arange(4), INFO, "cpu"), expected)


def test_extract_gathers_from_a_memory_map(images, backbone, tmp_path):
    np.save(tmp_path / "images.npy", images.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "images.npy", mmap_mode="c"))
    positions = torch.tensor([11, 2])
    assert torch.equal(
        extract(backbone, mapped, positions, INFO, "cpu"), extract(backbone, images, positions, INFO, "cpu")
    )


def test_a_network_is_made_fast_once_for_many_calls(images, backbone, monkeypatch):
    made = []
    monkeypatch.setattr(features, "folded", lambda *args: made.append(args) or folded(*args))
    extractor = Extractor(backbone, INFO, "cpu")
    parts = [extractor(images, positions) for positions in torch.arange(20).split(8)]
    assert torch.equal(parts[0], extract(backbone, images, torch.arange(8), INFO, "cpu"))
    assert [len(part) for part in parts] == [8, 8, 4] and len(made) == 2


def test_features_of_no_image_and_features_to_train_on(images, backbone):
    assert extract(backbone, images, torch.arange(0), INFO, "cpu").shape == (0, backbone.dim)
    features = extract(backbone, images, torch.arange(4), INFO, "cpu")
    nn.Linear(backbone.dim, 2)(features).sum().backward()  # an inference tensor would refuse


def test_pixels_are_scaled_and_ordered(images):
    features = pixels(images, torch.tensor([5, 1]), batch_size=1)
    assert torch.equal(features, images[[5, 1]].float().flatten(1) / 255)


def test_pixels_of_large_images_are_averaged_over_areas():
    images = torch.randint(0, 256, (2, 3, 32, 48), dtype=torch.uint8)
    features = pixels(images, torch.arange(2)).view(2, 3, 16, 16)
    expected = images.float().unfold(2, 2, 2).unfold(3, 3, 3).mean((-1, -2)) / 255
    torch.testing.assert_close(features, expected)


def test_fingerprint_sees_one_weight_one_buffer_and_a_name(backbone):
    before = fingerprint(backbone)
    assert fingerprint(backbone) == before
    with torch.no_grad():
        backbone.stages[0].refine[0].weight[0, 0, 0, 0] += 1e-6
    after_weight = fingerprint(backbone)
    backbone.stem[1].running_mean[0] += 1e-6
    after_buffer = fingerprint(backbone)
    assert len({before, after_weight, after_buffer}) == 3
    a, b = nn.Module(), nn.Module()
    a.register_buffer("x", torch.ones(1))
    b.register_buffer("y", torch.ones(1))
    assert fingerprint(a) != fingerprint(b)


def test_fingerprint_ignores_the_memory_format(backbone):
    before = fingerprint(backbone)
    assert fingerprint(backbone.to(memory_format=torch.channels_last)) == before


def stirred(network):
    """BatchNorms as training leaves them."""
    torch.manual_seed(0)
    for part in network.modules():
        if isinstance(part, _BatchNorm):
            part.running_mean.normal_(0, 0.3), part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5), nn.init.normal_(part.bias)
    return network.eval()


@pytest.mark.parametrize(
    ("make", "side", "count"),
    [
        (lambda: ConvNet(3, widths=(4, 8, 8)), 16, 5),
        (lambda: ConvNet(3, widths=(4, 8), split_norms=2), 16, 3),
        (lambda: Timm(3, 48, "resnet18"), 48, 20),
        (lambda: Timm(3, 49, "tf_efficientnet_lite0"), 49, 49),
    ],
)
def test_folded_norms_leave_the_features_as_they_are(make, side, count):
    backbone = stirred(make())
    before, x = fingerprint(backbone), torch.randn(3, 3, side, side)
    quick = folded(backbone, x)
    assert sum(isinstance(part, FoldedConv) for part in quick.modules()) == count
    assert not any(isinstance(part, _BatchNorm) for part in quick.modules())
    with torch.inference_mode():
        expected = backbone(x)
        for form in (torch.channels_last, torch.preserve_format):
            difference = (quick(x.contiguous(memory_format=form)) - expected).abs().max()
            assert difference < 1e-4 * expected.abs().max()
    assert fingerprint(backbone) == before
    assert all(p.requires_grad for p in backbone.parameters())


class Own(Backbone):
    def __init__(self, forward):
        super().__init__()
        self.conv, self.norm, self.way = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), forward

    def forward(self, x):
        return self.way(self, x).mean((2, 3))


def test_what_cannot_be_folded_runs_as_it_is(monkeypatch):
    def of_images(net, x):
        return net.norm(net.conv(x)) if x.sum() > 0 else x

    def used_twice(net, x):
        return net.norm(y := net.conv(x)) + y

    x = torch.rand(1, 1, 8, 8)
    for backbone in (ConvNet(1, norm="group", widths=(8, 8)), Own(of_images), Own(used_twice)):
        assert folded(backbone.eval(), x) is backbone
    plain = Own(lambda net, x: net.norm(net.conv(x))).eval()
    assert folded(plain, x) is not plain
    assert folded(plain, x.to("meta")) is plain  # not on a CPU
    monkeypatch.setattr("ssl_cli.probes.frozen.folded.TOLERANCE", -1.0)  # a trial that fails
    assert folded(plain, x) is plain


def test_a_summand_is_what_it_was_when_it_is_added():
    def in_place(net, x):  # the summand changes after the convolution
        y = net.norm(net.conv(x))
        z = x[:, :, 1:-1, 1:-1]
        x.add_(1)
        return z + y

    for way in (
        in_place,
        lambda net, x: net.norm(net.conv(x)) + x[:, :, 1:-1, 1:-1],
        lambda net, x: net.norm(net.conv(x)) + 1,
    ):
        backbone, x = stirred(Own(way)), torch.rand(1, 1, 8, 8)
        expected = backbone(x.clone())
        torch.testing.assert_close(folded(backbone, x)(x.clone()), expected)
