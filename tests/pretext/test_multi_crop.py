"""Two global and several local views: how many, how large, of what, and all different."""

import pytest
import torch
from experiments import option

from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch
from ssl_cli.config.build import instantiate
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.errors import UserError
from ssl_cli.setup.parts import pretext_settings


def info(size):
    values = {"channels": 1, "image_size": size, "classes": ("a", "b"), "mean": (0.0,), "std": (1.0,)}
    return ImageInfo(name="ramps", images=100, train_size=100, labelled=10, **values)


def multi_crop(size, *overrides, augment=None):
    settings = pretext_settings(option("pretext", "multi_crop", *overrides))
    return instantiate(settings, augment=augment or Augment(), data=info(size))


def ramps(size, batch=6):
    """Images whose brightness rises from left to right, so that a crop's range of values tells its width."""
    images = torch.linspace(0, 255, size).round().to(torch.uint8).expand(batch, 1, size, size)
    return Batch(images, torch.tensor([0, 1, -1, 0, 1, -1]), torch.arange(batch) + 20)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_two_global_views_at_full_size_then_the_local_ones(count):
    batch = ramps(32)
    task = multi_crop(32, f"pretext.local_views={count}")(batch, seeded())
    assert [tuple(view.shape) for view in task.views] == [(6, 1, 32, 32)] * 2 + [(6, 1, 16, 16)] * count
    assert task.targets is None
    assert torch.equal(task.labels, batch.labels) and torch.equal(task.indices, batch.indices)


@pytest.mark.parametrize(
    "size, fraction, expected", [(16, 0.5, 8), (28, 0.5, 14), (32, 0.4, 12), (96, 0.43, 42), (224, 96 / 224, 96)]
)
def test_the_side_of_local_views_is_a_fraction_of_the_image_s_in_even_pixels(size, fraction, expected):
    task = multi_crop(size, f"pretext.local_size={fraction}", "pretext.local_views=1")(ramps(size), seeded())
    assert task.views[2].shape == (6, 1, expected, expected)


def test_crops_differ_between_views_and_between_images():
    batch = ramps(32)
    batch.inputs = torch.randint(0, 256, (1, 1, 32, 32), generator=seeded(1), dtype=torch.uint8).repeat(6, 1, 1, 1)
    views = multi_crop(32)(batch, seeded()).views
    for group in (views[:2], views[2:]):
        rows = torch.cat(group).flatten(1)
        distances = torch.cdist(rows, rows) + torch.eye(len(rows)) * 1e3
        assert distances.min() > 1e-3  # the same image throughout: only the crops can differ


def test_the_same_generator_gives_the_same_views():
    pretext = multi_crop(32)
    first, again, other = (pretext(ramps(32), seeded(seed)).views for seed in (0, 0, 1))
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, other))


def test_crops_have_the_areas_asked_for():
    batch = ramps(64, batch=6)
    square = Augment(crop={"scale": [0.9, 1.0], "ratio": [1, 1]})
    scales = ("pretext.global_scale=[0.64,0.64]", "pretext.local_scale=[0.25,0.25]", "pretext.local_views=2")
    views = multi_crop(64, *scales, augment=square)(batch, seeded()).views
    for view, width in zip(views, [0.8, 0.8, 0.5, 0.5], strict=True):
        spread = view.flatten(1).amax(1) - view.flatten(1).amin(1)
        torch.testing.assert_close(spread, torch.full((6,), width), rtol=0, atol=0.04)


def test_the_rest_of_the_recipe_is_kept_and_the_recipe_itself_untouched():
    recipe = Augment(solarize={"p": 1.0, "threshold": 0.0})
    inverted = multi_crop(32, augment=recipe)(ramps(32), seeded()).views
    plain = multi_crop(32)(ramps(32), seeded()).views
    assert recipe.crop.p == 0
    for one, other in zip(inverted, plain, strict=True):
        assert (one.mean() - (1 - other.mean())).abs() < 0.2 and not torch.equal(one, other)


def test_the_second_large_view_and_the_small_ones_have_their_own_recipes_but_the_same_areas():
    inverted = ("pretext.augment2.solarize.p=1.0", "pretext.augment2.solarize.threshold=0.0")
    own = ("augment@pretext.augment2=none", *inverted)
    small = ("augment@pretext.augment_local=none", "pretext.augment_local.flip=1.0")
    square = Augment(crop={"scale": [0.9, 1.0], "ratio": [1, 1]})
    scales = ("pretext.global_scale=[0.64,0.64]", "pretext.local_scale=[0.25,0.25]", "pretext.local_views=2")
    views = multi_crop(64, *own, *small, *scales, augment=square)(ramps(64), seeded()).views
    rising = [(view[..., -1] > view[..., 0]).all().item() for view in views]
    assert rising == [True, False, False, False]  # as it is; inverted; mirrored, twice
    widths = [(view.flatten(1).amax(1) - view.flatten(1).amin(1)).mean().item() for view in views]
    assert widths[:2] == pytest.approx([0.8, 0.8], abs=0.04)


@pytest.mark.parametrize("size, fraction", [(16, 0.4), (28, 0.2), (12, 0.5)])
def test_too_small_local_views_are_refused_with_what_to_write(size, fraction):
    with pytest.raises(UserError, match="at least 8 pixels") as error:
        multi_crop(size, f"pretext.local_size={fraction}")
    advice = str(error.value).split("write pretext.local_size=")[1].split()[0]
    assert multi_crop(size, f"pretext.local_size={advice}").local_size == 8
    multi_crop(size, f"pretext.local_size={fraction}", "pretext.local_views=0")


@pytest.mark.parametrize("key", ["global_scale", "local_scale"])
def test_a_range_of_areas_that_is_none_is_refused(key):
    with pytest.raises(UserError, match=r"expected \[low, high\]"):
        multi_crop(32, f"pretext.{key}=[0.5,2.0]")
