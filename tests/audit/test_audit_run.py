"""What is said of labels and outliers by features, and of what is in no split."""

import pytest
import torch
import torch.nn.functional as F

from ssl_cli.audit.images import Images
from ssl_cli.audit.run import audit
from ssl_cli.data.images.base import ImageData

COUNT = 90  # of which the last thirty are test


@pytest.fixture
def data():
    """Noise of two classes; the first image of each carries the other label, and one image is in no split."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(COUNT) % 2
    labels[[0, 1]] = torch.tensor([1, 0])
    splits = {"train": torch.arange(2, 50), "val": torch.tensor([0, 1, *range(50, 60)]), "test": torch.arange(60, 89)}
    images = torch.randint(0, 256, (COUNT, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return ImageData("noise", images, labels, ("ant", "bee"), splits)


def features(at: torch.Tensor) -> torch.Tensor:
    """Return what tells the classes apart, but for image 7, which is like no other."""
    assert (at < 60).all()  # nobody looks at test
    noise = torch.randn(COUNT, 8, generator=torch.Generator().manual_seed(1))
    x = F.one_hot(torch.arange(COUNT) % 2, 8) + 0.2 * noise
    x[7] = F.one_hot(torch.tensor(7), 8).float()
    return 5 * x[at]


def test_features_judge_labels_and_find_what_is_far(data):
    found = audit(Images.of(data, None), features=features)
    names = {(one.kind, one.members[0].name) for one in found}
    assert names == {("suspicious label", "val[0]"), ("suspicious label", "val[1]"), ("outlier", "train[7]")}
    assert len(found) == 3 and found[2].kind == "outlier"
    assert "% of its neighbours say" in found[0].detail and found[0].members[0].label in ("ant", "bee")


def test_without_features_there_is_nothing_and_few_images_are_told(data):
    images = Images.of(data, None)
    assert audit(images) == [] and len(images) == COUNT - 1
    (ant, bee) = audit(images, few=25)
    assert {ant.kind, bee.kind} == {"small class"} and ant.detail.startswith(("ant: 24", "bee: 24"))


def test_images_without_labels_or_of_one_only_are_no_trouble(data):
    none = ImageData("noise", data.images[:1], torch.tensor([-1]), (), {"train": torch.tensor([0])})
    none.splits.update(val=torch.empty(0, dtype=torch.int64), test=torch.empty(0, dtype=torch.int64))
    assert audit(Images.of(none, None), features=lambda at: torch.ones(len(at), 4)) == []
