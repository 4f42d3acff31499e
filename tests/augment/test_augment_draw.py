"""The random parameters against torchvision's distributions."""

import pytest
import torch
from torchvision.transforms import RandomResizedCrop

from ssl_cli.augment import draw


@pytest.mark.parametrize(
    ("height", "width", "scale", "ratio"),
    [(32, 32, (0.08, 1.0), (3 / 4, 4 / 3)), (24, 48, (0.2, 1.0), (3 / 4, 4 / 3)), (32, 32, (0.9, 1.0), (0.5, 2.0))],
)
def test_crop_boxes_have_torchvisions_distribution(height, width, scale, ratio):
    ours = draw.crop_boxes(20_000, height, width, scale, ratio, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    image = torch.empty(1, height, width)
    theirs = torch.tensor([RandomResizedCrop.get_params(image, scale, ratio) for _ in range(4000)]).float()
    top, left, h, w = ours.unbind(1)
    assert torch.equal(ours, ours.round())
    assert ((top >= 0) & (left >= 0) & (h > 0) & (w > 0) & (top + h <= height) & (left + w <= width)).all()
    # Means and spreads of the four numbers and of the area agree to four standard errors of the smaller sample.
    ours, theirs = (torch.cat([b, b[:, 2:3] * b[:, 3:4]], 1) for b in (ours, theirs))
    error = theirs.std(0) / 4000**0.5
    assert ((ours.mean(0) - theirs.mean(0)).abs() <= 4 * error).all()
    assert ((ours.std(0) - theirs.std(0)).abs() <= 4 * error).all()


def test_a_box_that_never_fits_is_the_largest_centred_one():
    boxes = draw.crop_boxes(5, 10, 100, (0.99, 1.0), (0.9, 1.1), torch.Generator().manual_seed(0))
    assert boxes.tolist() == [[0, 44, 10, 11]] * 5


def test_orders_are_permutations_that_differ():
    orders = draw.orders(500, 4, torch.Generator().manual_seed(0))
    assert torch.equal(orders.sort(1).values, torch.arange(4).expand(500, 4))
    assert len(orders.unique(dim=0)) == 24


def test_chance_is_certain_at_0_and_1():
    generator = torch.Generator().manual_seed(0)
    assert not draw.chance(1000, 0.0, generator).any()
    assert draw.chance(1000, 1.0, generator).all()
    assert draw.chance(1000, 0.3, generator).float().mean().item() == pytest.approx(0.3, abs=0.06)
