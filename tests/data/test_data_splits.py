import pytest
import torch

from ssl_cli.data.splits import complete
from ssl_cli.errors import UserError

LABELS = torch.arange(1000) % 10


def _everything(splits):
    return torch.cat(list(splits.values()))


def test_carved_splits_are_disjoint_stratified_and_sorted():
    splits = complete(LABELS, {"train": torch.arange(1000)}, 0.1, 0.2, 0)
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 700, "val": 100, "test": 200}
    assert _everything(splits).sort().values.tolist() == list(range(1000))
    for rows in splits.values():
        assert rows.tolist() == sorted(rows.tolist())
        assert LABELS[rows].bincount().unique().numel() == 1


def test_the_seed_alone_decides():
    def run(seed):
        return complete(LABELS, {"train": torch.arange(1000)}, 0.1, 0.2, seed)["test"]

    torch.manual_seed(7)
    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))


def test_the_source_s_own_splits_stay():
    own = {"train": torch.arange(600), "test": torch.arange(600, 1000)}
    splits = complete(LABELS, own, 0.1, 0.2, 0)
    assert torch.equal(splits["test"], own["test"])
    assert len(splits["val"]) == 60
    assert splits["val"].max() < 600
    own["val"] = torch.arange(500, 600)
    own["train"] = torch.arange(500)
    again = complete(LABELS, own, 0.1, 0.2, 0)
    assert all(torch.equal(again[name], own[name]) for name in own)


def test_every_class_keeps_a_training_image():
    labels = torch.tensor([0] * 50 + [1] + [2] * 2)
    splits = complete(labels, {"train": torch.arange(53)}, 0.45, 0.45, 0)
    assert labels[splits["train"]].unique().tolist() == [0, 1, 2]


def test_many_small_classes_still_give_the_share_asked_for():
    labels = torch.arange(400) % 100  # four images each: rounding 10 % of each class would give no val at all
    splits = complete(labels, {"train": torch.arange(400)}, 0.1, 0.2, 0)
    assert (len(splits["val"]), len(splits["test"])) == (40, 80)


def test_unlabelled_images_are_training_images():
    labels = LABELS.clone()
    labels[::3] = -1
    splits = complete(labels, {"train": torch.arange(1000)}, 0.1, 0.2, 0)
    assert (labels[splits["val"]] >= 0).all()
    assert (labels[splits["test"]] >= 0).all()
    assert len(_everything(splits)) == 1000
    nothing = complete(torch.full((9,), -1), {"train": torch.arange(9)}, 0.1, 0.2, 0)
    assert [len(nothing[name]) for name in ("train", "val", "test")] == [9, 0, 0]


def test_fractions_that_leave_nothing():
    with pytest.raises(UserError, match="leaves nothing to train on"):
        complete(LABELS, {"train": torch.arange(1000)}, 0.5, 0.5, 0)
