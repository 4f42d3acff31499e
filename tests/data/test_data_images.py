import pytest
import torch

from ssl_cli.data.images.base import ImageData, pixel_stats, resize


def _data(images, train):
    return ImageData("x", images, torch.full((len(images),), -1), (), {"train": train})


def test_pixel_stats_are_those_of_the_train_images_alone():
    images = torch.randint(0, 256, (700, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[::2] = 255
    mean, std = pixel_stats(_data(images, torch.arange(1, 700, 2)))
    pixels = images[1::2].double().div(255).movedim(1, 0).flatten(1)
    assert mean == pytest.approx(pixels.mean(1).tolist(), abs=1e-12)
    assert std == pytest.approx(pixels.std(1, correction=0).tolist(), abs=1e-12)


def test_a_constant_channel_can_be_divided_by():
    mean, std = pixel_stats(_data(torch.full((4, 1, 2, 2), 51, dtype=torch.uint8), torch.arange(4)))
    assert mean == pytest.approx((0.2,))
    assert std == (1e-3,)


def test_no_more_than_ten_thousand_images_are_read():
    images = torch.zeros(30_001, 1, 1, 1, dtype=torch.uint8)
    images[1::3] = 255  # evenly spaced reading takes 0, 3, 6, ...
    assert pixel_stats(_data(images[:29_998], torch.arange(29_998)))[0] == (0.0,)


def test_resize_is_antialiased_and_stays_in_range():
    checkers = ((torch.arange(64)[:, None] + torch.arange(64)) % 2 * 255).to(torch.uint8).expand(2, 3, 64, 64)
    small = resize(checkers, 16)
    assert small.shape == (2, 3, 16, 16)
    assert (small.float() - 127.5).abs().max() < 10
    step = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    step[..., 4:] = 255
    assert (resize(step, 16)[..., :6] <= 30).all()  # overshoot is clipped, not wrapped around to white
    assert resize(step, 8) is step
