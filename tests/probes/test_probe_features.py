import numpy as np
import pytest
import torch
from experiments import image_info
from torch import nn

from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.data.images.raw import pixels
from ssl_cli.probes.frozen.features import extract, fingerprint

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
