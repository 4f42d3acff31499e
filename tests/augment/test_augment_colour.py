"""Every colour operation against torchvision, image by image."""

import pytest
import torch
from torchvision.transforms import functional as F1
from torchvision.transforms.v2 import functional as F2

from ssl_cli.augment import colour
from ssl_cli.errors import UserError

N = 24


def pictures(channels: int) -> torch.Tensor:
    """Noise, whose first rows are the corners of the colour space: black, white, grey, pure and equal channels."""
    images = torch.rand(N, channels, 18, 14, generator=torch.Generator().manual_seed(0))
    images[0], images[1], images[2] = 0, 1, 0.5
    images[3] = (images[3] > 0.5).float()
    images[4] = images[4].mul(3).round().div(3)
    return images


def assert_matches(ours, images, theirs, *parameters):
    for i in range(N):
        expected = theirs(images[i], *(p[i].item() for p in parameters))
        torch.testing.assert_close(ours[i], expected, atol=1e-5, rtol=0)


@pytest.fixture(params=[1, 3], ids=["grey", "rgb"])
def images(request):
    return pictures(request.param)


@pytest.fixture
def factor():
    return torch.linspace(0, 2.5, N)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_factors(name, images, factor):
    assert_matches(getattr(colour, name)(images, factor), images, getattr(F1, f"adjust_{name}"), factor)


def test_hue(images):
    shift = torch.linspace(-0.5, 0.5, N).roll(5)
    assert_matches(colour.hue(images, shift), images, F1.adjust_hue, shift)


def test_grayscale(images):
    ours = colour.grayscale(images)
    assert_matches(ours, images, lambda x: F1.rgb_to_grayscale(x, num_output_channels=len(x)))
    assert ours.shape == images.shape


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_solarize(images, threshold):
    assert_matches(colour.solarize(images, threshold), images, lambda x: F1.solarize(x, threshold))


@pytest.mark.parametrize("kernel", [1, 3, 9, 23])
def test_gaussian_blur(images, kernel):
    sigma = torch.linspace(0.1, 3, N)
    assert_matches(
        colour.gaussian_blur(images, sigma, kernel), images, lambda x, s: F2.gaussian_blur(x, [kernel] * 2, [s]), sigma
    )


def test_blur_wider_than_the_image_can_be_reflected(images):
    with pytest.raises(UserError, match="blur.kernel is 29 pixels.*at most 27"):
        colour.gaussian_blur(images, torch.ones(N), 29)


def test_gaussian_noise():
    images = torch.full((8, 3, 64, 64), 0.5)
    noisy = colour.gaussian_noise(images, 0.1, torch.Generator().manual_seed(0))
    assert noisy.mean().item() == pytest.approx(0.5, abs=2e-3)
    assert noisy.std().item() == pytest.approx(0.1, rel=0.02)
    everywhere = colour.gaussian_noise(images, 5.0, torch.Generator().manual_seed(0))
    assert everywhere.aminmax() == (0, 1)


def test_normalize_and_to_input(images):
    mean, std = [0.4, 0.5, 0.6][: images.shape[1]], [0.2, 0.3, 0.1][: images.shape[1]]
    assert_matches(colour.normalize(images, mean, std), images, lambda x: F1.normalize(x, mean, std))
    stored = images.mul(255).round().byte()
    assert_matches(colour.to_input(stored, mean, std), stored, lambda x: F1.normalize(x.float() / 255, mean, std))


def test_color_jitter_applies_each_image_in_its_own_order(images):
    generator = torch.Generator().manual_seed(3)
    names = ["brightness", "contrast", "saturation", "hue"]
    parameters = [torch.rand(N, generator=generator) * 1.6 + 0.2 for _ in range(3)]
    parameters.append(torch.rand(N, generator=generator) - 0.5)
    order = torch.rand(N, 4, generator=generator).argsort(1)
    order[-1] = -1
    operations = [(getattr(colour, name), p) for name, p in zip(names, parameters, strict=True)]
    before = images.clone()
    ours = colour.color_jitter(images, operations, order)
    assert torch.equal(images, before)
    assert torch.equal(ours[-1], images[-1])
    assert len(order.unique(dim=0)) > 10
    for i in range(N - 1):
        expected = images[i]
        for k in order[i].tolist():
            expected = getattr(F1, f"adjust_{names[k]}")(expected, parameters[k][i].item())
        torch.testing.assert_close(ours[i], expected, atol=1e-5, rtol=0)
