"""A recipe on clips: drawn once for each, and the same for all of its frames."""

import pytest
import torch
from experiments import option

from ssl_cli.augment import draw
from ssl_cli.augment.augment import Augment
from ssl_cli.augment.randaugment import cutout, randaugment
from ssl_cli.config.build import instantiate

EVERYTHING = {
    "affine": {"p": 0.7, "degrees": 20.0, "translate": 0.1, "scale": [0.9, 1.1], "shear": 5.0},
    "pad_crop": {"p": 0.5},
    "crop": {"p": 0.8, "scale": [0.3, 1.0], "interpolation": "bicubic"},
    "flip": 0.5,
    "vertical_flip": 0.5,
    "jitter": {"p": 0.8, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.2},
    "grey": 0.3,
    "blur": {"p": 0.5, "kernel": 3.0},
    "solarize": {"p": 0.3},
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clips(n: int, frames: int, channels: int = 3, size: int = 16) -> torch.Tensor:
    return torch.randint(0, 256, (n, frames, channels, size, size), dtype=torch.uint8, generator=seeded(3))


def changed(augment: Augment, rows: torch.Tensor, **kwargs) -> list[torch.Tensor]:
    channels = rows.shape[-3]
    return augment(rows, (0.5,) * channels, (0.25,) * channels, seeded(), **kwargs)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [None, 12])
def test_a_clip_is_changed_as_each_of_its_frames_is_with_the_same_parameters(channels, size):
    """The frames with number t of all clips, as images, draw what the clips draw: the generator is the same."""
    augment, rows = Augment(**EVERYTHING), clips(12, 5, channels)
    views = changed(augment, rows, views=2, size=size)
    assert [tuple(view.shape) for view in views] == [(12, 5, channels, size or 16, size or 16)] * 2
    for time in range(5):
        for view, frame in zip(views, changed(augment, rows[:, time], views=2, size=size), strict=True):
            assert (view[:, time] - frame).abs().max() < 1e-5


def test_equal_frames_stay_equal_and_clips_are_changed_unlike():
    rows = clips(1, 1).expand(8, 4, -1, -1, -1)
    (view,) = changed(Augment(**EVERYTHING), rows)
    assert (view - view[:, :1]).abs().max() < 1e-5
    assert len(view[:, 0].flatten(1).unique(dim=0)) == 8


def test_noise_is_of_each_frame():
    rows = clips(1, 1).expand(2, 3, -1, -1, -1)
    (view,) = changed(Augment(noise=0.1), rows)
    assert (view[:, 0] - view[:, 1]).abs().mean() > 0.1


def test_a_clip_draws_as_often_as_an_image(monkeypatch):
    drawn = []
    chance = draw.chance
    monkeypatch.setattr(draw, "chance", lambda n, *args: drawn.append(n) or chance(n, *args))
    changed(Augment(**EVERYTHING), clips(3, 7), views=2)
    assert drawn and set(drawn) == {6}


def test_the_recipe_of_moving_shapes_keeps_directions():
    """What goes right in one view goes right in the other: no flip, no turn."""
    augment = instantiate(option("augment", "moving_shapes"))
    assert augment.flip == augment.vertical_flip == augment.affine.p == 0


def test_strong_changes_and_blanked_squares_are_the_same_for_all_frames():
    rows = clips(20, 4).float() / 255
    changed_clips = randaugment(rows.flatten(0, 1), 2, seeded(), frames=4)
    blanked = cutout(changed_clips, 0.5, seeded(), frames=4).unflatten(0, (20, 4))
    for time in range(4):
        frame = cutout(randaugment(rows[:, time], 2, seeded()), 0.5, seeded())
        assert (blanked[:, time] - frame).abs().max() < 1e-5
