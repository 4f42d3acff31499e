"""Whole recipes: those in conf/augment, and what a recipe promises."""

import numpy as np
import pytest
import torch
from experiments import option, options
from omegaconf import OmegaConf

from ssl_cli.augment.augment import Augment
from ssl_cli.augment.recipe import Blur
from ssl_cli.config.build import instantiate
from ssl_cli.errors import UserError

RECIPES = options("augment")


def recipe(name: str, *overrides: str) -> Augment:
    return instantiate(option("augment", name, *overrides))


def photos(n: int, channels: int, size: int) -> torch.Tensor:
    return torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8, generator=seeded(9))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def run(augment: Augment, images: torch.Tensor, seed: int = 0, **kwargs) -> list[torch.Tensor]:
    channels = images.shape[1]
    return augment(images, (0.5,) * channels, (0.25,) * channels, seeded(seed), **kwargs)


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", RECIPES)
def test_recipe(name, channels, size):
    augment, images = recipe(name), photos(1, channels, size).expand(8, -1, -1, -1)
    before = images.clone()
    first, second = run(augment, images, views=2)
    for view in (first, second):
        assert view.shape == images.shape
        assert view.dtype == torch.float32
        assert view.is_contiguous()
        assert (view.isfinite() & (view >= -2.001) & (view <= 2.001)).all()
    assert torch.equal(images, before)
    rows = torch.cat([first, second]).flatten(1)  # sixteen versions of one image
    distinct = len(rows.unique(dim=0))
    if name in ("supervised", "weak"):  # which have 50 and more views of an image, not infinitely many
        assert distinct >= 11
    else:
        assert distinct == (1 if name == "none" else 16)


@pytest.mark.parametrize("name", RECIPES)
def test_same_seed_same_views(name):
    augment, images = recipe(name), photos(8, 3, 16)
    one, two, other = (torch.cat(run(augment, images, seed, views=2)) for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert torch.equal(one, other) == (name == "none")


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_every_key_and_takes_fractions(name):
    def types(node):
        return {key: types(value) if isinstance(value, dict) else type(value) for key, value in node.items()}

    ours, base = (types(OmegaConf.to_object(option("augment", n))) for n in (name, "none"))
    assert ours == base
    assert "'int'" not in str(ours)  # a whole number as default would refuse 0.5


def test_every_operation_can_be_switched_on_from_the_command_line():
    on = [
        "affine.p",
        "pad_crop.p",
        "crop.p",
        "flip",
        "vertical_flip",
        "jitter.p",
        "grey",
        "blur.p",
        "solarize.p",
        "noise",
    ]
    augment = recipe("none", *(f"augment.{key}=0.5" for key in on), "augment.jitter.hue=0.1")
    assert all(view.isfinite().all() for view in run(augment, photos(16, 3, 16), views=2))


@pytest.mark.parametrize("name, mode", [("weak", "reflect"), ("supervised", "constant")])
def test_the_published_shift_shows_the_pixels_themselves(name, mode):
    """FixMatch's and He et al.'s: mirror, pad an eighth, cut out a box in whole pixels; each of them equally often."""
    images = photos(1, 3, 16)
    views = torch.cat(run(recipe(name), images, views=2000)).reshape(2000, -1)
    values = (images.float() / 255 - 0.5) / 0.25
    black = torch.full((1, 3, 20, 20), -2.0)
    black[:, :, 2:18, 2:18] = values
    padded = np.pad(values.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode) if mode == "reflect" else black.numpy()
    boxes = [padded[0, :, y : y + 16, x : x + 16] for y in range(5) for x in range(5)]
    possible = torch.from_numpy(np.stack(boxes + [box[:, :, ::-1] for box in boxes])).flatten(1)
    drawn = (views[:, None] == possible).all(2)
    assert (drawn.sum(1) == 1).all(), "each view is one of the fifty, to the last bit"
    assert drawn.sum(0).min() > 15 and drawn.sum(0).max() < 75  # 40 expected, with a standard deviation of 6


def test_recipes_resample_as_their_sources_do():
    found = {name: recipe(name).crop.interpolation for name in ("simclr", "byol_view2", "dino", "swav", "mocov2")}
    bicubic = dict.fromkeys(("simclr", "byol_view2", "dino"), "bicubic")
    assert found == bicubic | dict.fromkeys(("swav", "mocov2"), "bilinear")
    assert recipe("dino").cropped([0.05, 0.4]).crop.interpolation == "bicubic"


def test_off_is_plain_normalisation():
    images = photos(4, 3, 16)
    (view,) = run(Augment(), images)
    torch.testing.assert_close(view, (images.float() / 255 - 0.5) / 0.25)


@pytest.mark.parametrize("crop", [None, {"scale": [1, 1], "ratio": [1, 1]}])
def test_flips_happen_always_never_and_half_of_the_time(crop):
    images = photos(200, 1, 8)
    plain = (images.float() / 255 - 0.5) / 0.25
    (never,), (always,) = run(Augment(crop=crop), images), run(Augment(crop=crop, flip=1, vertical_flip=1), images)
    torch.testing.assert_close(never, plain, atol=1e-5, rtol=0)
    torch.testing.assert_close(always, plain.flip(2, 3), atol=1e-5, rtol=0)
    (half,) = run(Augment(crop=crop, flip=0.5), images)
    flipped = torch.isclose(half, plain.flip(3), atol=1e-5).all(-1).all(-1).all(-1)
    assert 60 < flipped.sum() < 140
    torch.testing.assert_close(half[~flipped], plain[~flipped], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"crop": {"p": 0.5, "scale": [0.2, 0.4]}},
        {"affine": {"p": 0.5, "degrees": 45}},
        {"pad_crop": {"p": 0.5, "pad": 0.5}},
        {"jitter": {"p": 0.5, "brightness": 0.5, "hue": 0.3}},
        {"grey": 0.5},
        {"blur": {"p": 0.5, "kernel": 3, "sigma": [1, 2]}},
        {"solarize": {"p": 0.5}},
    ],
)
def test_p_is_how_often_an_image_changes(settings):
    images = photos(200, 3, 12)
    (view,) = run(Augment(**settings), images)
    changed = ((view - (images.float() / 255 - 0.5) / 0.25).abs() > 1e-4).flatten(1).any(1)
    assert 60 < changed.sum() < 140


def test_views_may_have_another_size():
    images = photos(6, 3, 20)
    for augment in (Augment(), recipe("simclr")):
        first, second = run(augment, images, views=2, size=12)
        assert first.shape == second.shape == (6, 3, 12, 12)


def test_autocast_leaves_the_views_as_they_are():
    augment, images = recipe("simclr"), photos(8, 3, 16)
    (plain,) = run(augment, images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (inside,) = run(augment, images)
    assert torch.equal(plain, inside)


@pytest.mark.parametrize(("kernel", "size", "width"), [(0.1, 224, 23), (0.1, 32, 3), (0.1, 16, 3), (5, 224, 5)])
def test_blur_kernel_is_pixels_or_a_fraction(kernel, size, width):
    assert Blur(kernel=kernel).width(size) == width


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop": {"scale": [1.0, 0.5]}}, r"crop.scale is \[1, 0.5\].*low <= high <= 1"),
        ({"crop": {"scale": [0.5, 1.5]}}, "crop.scale"),
        ({"crop": {"ratio": [0, 1]}}, "crop.ratio"),
        (
            {"crop": {"interpolation": "bicubc"}},
            "crop.interpolation=bicubc.*did you mean 'bicubic'.*bilinear or bicubic",
        ),
        ({"pad_crop": {"border": "grey"}}, "pad_crop.border=grey is unknown.*reflect or black"),
        ({"crop": {"scale": 0.5}}, r"crop.scale is 0.5: expected two numbers, as in crop.scale=\[0.5,1.0\]"),
        ({"affine": {"scale": [-1, 1]}}, "affine.scale"),
        ({"blur": {"sigma": [0, 1]}}, "blur.sigma"),
        ({"blur": {"kernel": 4}}, "blur.kernel is 4: it must be an odd number"),
        ({"crop": 0.5}, "augment.crop=0.5 is no mapping of settings; write augment.crop=null"),
        ({"jitter": {"brightnes": 1}}, "augment.jitter has no key 'brightnes'.*did you mean 'brightness'"),
    ],
)
def test_bad_settings_say_what_to_write(settings, message):
    with pytest.raises(UserError, match=message):
        Augment(**settings)
