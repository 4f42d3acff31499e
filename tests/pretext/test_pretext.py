import pytest
import torch
from experiments import option

from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch
from ssl_cli.config.build import instantiate
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.setup.parts import pretext_settings

CHANGES = Augment(crop={"scale": [0.2, 1]}, flip=0.5)


@pytest.fixture
def data():
    return ImageInfo("tiny", 3, 12, ("a", "b"), 120, 100, 10, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


@pytest.fixture
def batch():
    images = torch.randint(0, 256, (8, 3, 12, 12), dtype=torch.uint8)
    return Batch(images, torch.tensor([0, 1, -1, -1, 0, 1, -1, -1]), torch.arange(8) + 50)


def pretext(name, data, augment, *overrides):
    return instantiate(pretext_settings(option("pretext", name, *overrides)), augment=augment, data=data)


@pytest.mark.parametrize(("name", "views"), [("augment", 1), ("two_views", 2)])
def test_views_keep_the_rows_of_the_batch(name, views, data, batch):
    task = pretext(name, data, CHANGES)(batch, torch.Generator().manual_seed(0))
    assert [tuple(view.shape) for view in task.views] == [(8, 3, 12, 12)] * views
    assert task.targets is None
    assert torch.equal(task.labels, batch.labels)
    assert torch.equal(task.indices, batch.indices)


def test_views_are_normalised_by_the_data(data, batch):
    (view,) = pretext("augment", data, Augment())(batch, torch.Generator()).views
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (data.mean, data.std))
    torch.testing.assert_close(view * std + mean, batch.images / 255)


def test_two_views_differ_in_every_row_and_repeat_with_the_seed(data, batch):
    task = pretext("two_views", data, CHANGES)
    first, second = task(batch, torch.Generator().manual_seed(0)).views
    assert ((first - second).abs().flatten(1).amax(1) > 1e-3).all()
    again = task(batch, torch.Generator().manual_seed(0)).views
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])


def test_second_view_may_have_a_recipe_of_its_own(data, batch):
    asymmetric = pretext("two_views", data, Augment(), "augment@pretext.augment2=none", "pretext.augment2.solarize.p=1")
    first, second = asymmetric(batch, torch.Generator().manual_seed(0)).views
    plain = batch.images / 255
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (data.mean, data.std))
    torch.testing.assert_close(first * std + mean, plain)
    torch.testing.assert_close(second * std + mean, torch.where(plain >= 0.5, 1 - plain, plain))
