"""Each operation against torchvision's, image by image; who is changed, by how much, and what stays as it is."""

import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor, to_pil_image
from torchvision.transforms.v2 import functional as TF

from ssl_cli.augment import randaugment as ra


@pytest.fixture(params=[1, 3])
def images(request):
    generator = torch.Generator().manual_seed(request.param)
    levels = torch.randint(20, 230, (12, request.param, 13, 17), generator=generator).float()
    levels[0] = 70  # flat
    levels[1] = torch.where(levels[1] > 100, 200.0, 40.0)  # two levels
    return levels / 255


def one_by_one(images, function, *parameters):
    return torch.stack([function(image, *(p[i].item() for p in parameters)) for i, image in enumerate(images)])


def as_bytes(images):
    return (images * 255).round().to(torch.uint8)


def test_autocontrast(images):
    torch.testing.assert_close(ra.autocontrast(images), one_by_one(images, TF.autocontrast), atol=1e-6, rtol=0)


def test_equalize_in_bytes(images):
    expected = one_by_one(as_bytes(images), TF.equalize)
    assert torch.equal(as_bytes(ra.equalize(images)), expected)


def test_posterize_in_bytes(images):
    bits = torch.tensor([4, 5, 6, 7, 8, 4, 5, 6, 7, 8, 4, 8])
    expected = one_by_one(as_bytes(images), lambda image, b: TF.posterize(image, int(b)), bits)
    assert torch.equal(as_bytes(ra.posterize(images, bits.float())), expected)


def test_sharpness(images):
    factor = torch.linspace(0, 2, 12)
    expected = one_by_one(images, TF.adjust_sharpness, factor)
    torch.testing.assert_close(ra.sharpness(images, factor), expected, atol=1e-5, rtol=0)


def test_solarize(images):
    threshold = torch.linspace(0, 1, 12)
    expected = one_by_one(images, TF.solarize, threshold)
    torch.testing.assert_close(ra.solarize(images, threshold), expected)


@pytest.mark.parametrize("name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y"])
def test_movements(images, name):
    operation, low, high = ra.OPERATIONS[name]
    magnitude = torch.linspace(low, high, 12)
    assert low == -high

    def expected(image, m):
        angle, shift, shear = 0.0, [0.0, 0.0], [0.0, 0.0]
        if name == "rotate":
            angle = m
        elif name.startswith("shear"):
            shear[name.endswith("y")] = m
        else:
            shift[name.endswith("y")] = m * image.shape[2 if name.endswith("x") else 1]
        return TF.affine(
            image, angle, shift, 1.0, shear, interpolation=TF.InterpolationMode.BILINEAR, fill=[0.5] * len(image)
        )

    torch.testing.assert_close(operation(images, magnitude), one_by_one(images, expected, magnitude), atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y"])
def test_published_movements_are_pillows_to_the_last_bit(images, name):
    """The five functions of TorchSSL's randaugment.py, which are also those of FixMatch's code."""
    operation, low, high = ra.AS_PUBLISHED[name]
    assert low == -high == (-30 if name == "rotate" else -0.3)
    magnitude = torch.linspace(low, high, 12)

    def expected(image, m):
        photo = to_pil_image(as_bytes(image))
        (width, height), affine = photo.size, Image.Transform.AFFINE
        moved = {
            "rotate": lambda: photo.rotate(m),
            "shear_x": lambda: photo.transform(photo.size, affine, (1, m, 0, 0, 1, 0)),
            "shear_y": lambda: photo.transform(photo.size, affine, (1, 0, 0, m, 1, 0)),
            "translate_x": lambda: photo.transform(photo.size, affine, (1, 0, m * width, 0, 1, 0)),
            "translate_y": lambda: photo.transform(photo.size, affine, (1, 0, 0, 0, 1, m * height)),
        }[name]()
        return pil_to_tensor(moved)

    ours = as_bytes(operation(images, magnitude))
    assert torch.equal(ours, one_by_one(images, expected, magnitude))


def test_views_of_older_versions_move_as_they_did(images):
    many = images[5:6].expand(100, -1, -1, -1)
    seeds = [torch.Generator().manual_seed(3) for _ in range(2)]
    old, new = ra.randaugment(many, 1, seeds[0]), ra.randaugment(many, 1, seeds[1], nearest=True)
    moved = (old != new).flatten(1).any(1).float().mean()
    assert 5 / 14 - 0.2 < moved < 5 / 14 + 0.2  # five of the fourteen operations, with the same draws


def test_every_image_draws_its_own_and_the_generator_alone_decides(images):
    many = images[5:6].expand(400, -1, -1, -1)
    once, again = (ra.randaugment(many, 2, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(once, again)
    assert len(once.flatten(1).unique(dim=0)) > 250
    assert once.min() >= 0 and once.max() <= 1
    unchanged = (once == many).flatten(1).all(1).float().mean()
    assert unchanged < 0.2  # both draws the identity, or an operation that does nothing here
    assert torch.equal(ra.randaugment(many, 0, torch.Generator()), many)


def test_cutout_blanks_one_square_within_its_size():
    images = torch.zeros(500, 1, 32, 32)
    out = ra.cutout(images, 0.5, torch.Generator().manual_seed(0))
    assert set(out.unique().tolist()) == {0.0, 0.5}
    rows, columns = (out > 0).any(3).sum((1, 2)), (out > 0).any(2).sum((1, 2))
    assert rows.max() <= 17 and columns.max() <= 17
    assert torch.equal((out > 0).flatten(1).sum(1), rows * columns)  # a full rectangle
    share = (out > 0).float().mean()
    # The mean of (size / 2)^2 with size uniform in [0, 1] is 1/12; the rim takes some of it.
    assert 0.05 < share < 1 / 12
    assert torch.equal(ra.cutout(images, 0.0, torch.Generator()), images)
