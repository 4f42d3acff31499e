import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_a_group_is_carved_as_a_whole():
    generator = torch.Generator().manual_seed(3)
    groups = torch.randint(0, 90, (1000,), generator=generator)
    groups[:50] = -1
    labels = LABELS.clone()
    labels[::7] = -1
    splits = complete(labels, {"train": torch.arange(1000)}, 0.1, 0.2, 0, groups)
    where = {name: set(groups[rows].tolist()) - {-1} for name, rows in splits.items()}
    assert sum(map(len, where.values())) == len(set().union(*where.values()))
    for name, share in (("val", 0.1), ("test", 0.2)):
        assert (labels[splits[name]] >= 0).all()
        assert len(splits[name]) == pytest.approx(share * int((labels >= 0).sum()), rel=0.1)
        assert labels[splits[name]].bincount().min() >= 0.6 * share * 85
    gone = sorted(set(range(1000)) - set(_everything(splits).tolist()))  # unlabelled ones of groups that are held out
    assert gone and (labels[gone] < 0).all()
    assert {int(groups[i]) for i in gone} <= where["val"] | where["test"]
    again = complete(labels, {"train": torch.arange(1000)}, 0.1, 0.2, 0, groups)
    assert all(torch.equal(again[name], splits[name]) for name in splits)
    other = complete(labels, {"train": torch.arange(1000)}, 0.1, 0.2, 1, groups)
    assert not torch.equal(other["test"], splits["test"])


def test_few_large_groups_are_carved_as_well_as_they_can_be():
    groups = torch.arange(60) // 20  # three patients, each with both classes
    splits = complete(torch.arange(60) % 2, {"train": torch.arange(60)}, 0.1, 0.2, 0, groups)
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 20, "val": 20, "test": 20}
    two = complete(torch.arange(40) % 2, {"train": torch.arange(40)}, 0.1, 0.2, 0, groups[:40])
    assert {name: len(rows) for name, rows in two.items()} == {"train": 20, "val": 0, "test": 20}


def test_where_a_class_is_one_group_there_is_no_test():
    labels = torch.arange(60) // 20
    with pytest.raises(UserError, match="dataset.group_column=none"):
        complete(labels, {"train": torch.arange(60)}, 0.1, 0.2, 0, labels)
    own = {"train": torch.arange(30), "test": torch.arange(30, 60)}
    splits = complete(labels, own, 0.1, 0.2, 0, labels)
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 30, "val": 0, "test": 30}


def test_many_small_classes_in_groups_still_give_about_the_share_asked_for():
    labels = torch.arange(400) % 100
    splits = complete(labels, {"train": torch.arange(400)}, 0.1, 0.2, 0, torch.full((400,), -1))
    assert (len(splits["val"]), len(splits["test"])) == (40, 80)


IMAGES = st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 6)), min_size=1, max_size=60)


@settings(max_examples=80, deadline=None)
@given(IMAGES, st.sampled_from([0.0, 0.1, 0.4]), st.sampled_from([0.0, 0.2, 0.5]))
def test_no_group_is_in_two_splits_and_every_class_stays_in_train(images, val, test):
    labels, groups = torch.tensor(images).T
    try:
        splits = complete(labels, {"train": torch.arange(len(images))}, val, test, 0, groups)
    except UserError as error:
        assert "no group can be held out" in str(error)
        return
    assert len(_everything(splits)) == len(_everything(splits).unique())
    assert set(labels[splits["train"]].tolist()) - {-1} == set(labels.tolist()) - {-1}
    found = [set(groups[rows].tolist()) - {-1} for rows in splits.values()]
    assert sum(map(len, found)) == len(set().union(*found))
