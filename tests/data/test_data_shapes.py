import pytest
import torch

from ssl_cli.data.images import shapes


@pytest.fixture(scope="module")
def data():
    return shapes.load(num_images=420, storage_size=64, seed=0)


def _cover(data):
    """Share of each pixel that the shape covers, from the image alone: [N, H, W]."""
    colour = torch.stack([data.factors[name] for name in ("red", "green", "blue")], 1)
    strongest = data.images[torch.arange(len(data.images)), colour.argmax(1)].double()
    background = strongest[:, :1, :1]  # no shape reaches a corner
    return (strongest - background) / (255 - background)


def test_format(data):
    assert data.images.shape == (420, 3, 64, 64)
    assert data.images.dtype == torch.uint8
    assert data.labels.bincount().tolist() == [60] * len(data.classes)
    assert all(values.shape == (420,) and values.dtype == torch.float32 for values in data.factors.values())


def test_the_centroid_is_x_and_y(data):
    cover = _cover(data)
    grid = (torch.arange(64) + 0.5) / 32 - 1
    mass = cover.sum((1, 2))
    x = (cover * grid).sum((1, 2)) / mass
    y = (cover * grid[:, None]).sum((1, 2)) / mass
    assert (x - data.factors["x"]).abs().max() < 0.03  # a pixel is 0.031
    assert (y - data.factors["y"]).abs().max() < 0.03


def test_the_area_follows_size(data):
    """Of the circumscribed circle: circle 1, ring 3/4, square 2/pi, triangle 3 sqrt(3) / (4 pi)."""
    share = _cover(data).mean((1, 2)) / (torch.pi / 4 * data.factors["size"].double() ** 2)
    expected = {"circle": 1.0, "ring": 0.75, "square": 0.6366, "triangle": 0.4135, "bar": 4 * 0.97 * 0.25 / torch.pi}
    for name, value in expected.items():
        of_class = share[data.labels == data.classes.index(name)]
        assert of_class.mean().item() == pytest.approx(value, rel=0.02), name


def test_the_long_axis_of_a_bar_is_its_angle(data):
    rows = data.labels == data.classes.index("bar")
    cover, grid = _cover(data)[rows], (torch.arange(64) + 0.5) / 32 - 1
    dx = grid - data.factors["x"][rows, None, None]
    dy = grid[:, None] - data.factors["y"][rows, None, None]
    xx, yy, xy = ((cover * product).sum((1, 2)) for product in (dx * dx, dy * dy, dx * dy))
    angle = torch.rad2deg(0.5 * torch.atan2(2 * xy, xx - yy))
    assert (angle - data.factors["angle"][rows]).abs().max() < 2
    assert data.factors["angle"].abs().max() <= 30
    assert (data.factors["angle"][data.labels == data.classes.index("ring")] == 0).all()


def test_corners_show_the_background(data):
    corner = data.images[:, :, 0, 0].double() / 255
    assert (corner - data.factors["background"].double()[:, None]).abs().max() <= 0.5 / 255 + 1e-6


def test_an_image_does_not_depend_on_how_many_there_are(data):
    fewer = shapes.load(num_images=10, storage_size=64, seed=0)
    assert torch.equal(fewer.images, data.images[:10])
    assert all(torch.equal(values, data.factors[name][:10]) for name, values in fewer.factors.items())
    assert not torch.equal(shapes.load(num_images=10, storage_size=64, seed=1).images, fewer.images)
