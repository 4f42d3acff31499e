"""What is said of single images, of labels by their neighbours, and in which order."""

import torch
import torch.nn.functional as F

from ssl_cli.audit import labels, looks
from ssl_cli.audit.finding import Finding, Member, again, as_csv, counts, fails, ordered, read_csv


def test_brightness_is_extreme_only_where_it_is_unusual():
    usual = torch.linspace(100, 150, 50)
    odd = looks.extreme_brightness(torch.cat([usual, torch.tensor([12.0, 250.0])]))
    assert odd.nonzero().flatten().tolist() == [50, 51]
    night = torch.linspace(5, 40, 50)  # digits on black
    assert not looks.extreme_brightness(night).any()


def test_sizes_and_shapes_are_held_against_the_usual_ones():
    usual = [(640, 480)] * 9
    assert list(looks.extreme_sizes([*usual, (120, 120), None, (8000, 6000), (300, 200)])) == [9, 11]
    assert list(looks.extreme_aspects([*usual, (900, 300), (480, 640), (200, 700)])) == [9, 11]
    scans = [(100, 400)] * 9
    assert list(looks.extreme_aspects([*scans, (100, 500), (400, 100)])) == [10]
    assert looks.extreme_sizes([None]) == looks.extreme_aspects([None]) == {}


def test_images_are_reduced_and_measured():
    images = torch.zeros(3, 3, 40, 40, dtype=torch.uint8)
    images[1] = 200
    images[2, :, :, ::2] = 100
    small, mean, deviation = looks.small(images, torch.tensor([2, 1]))
    assert small.shape == (2, 3, 32, 32) and mean.tolist() == [50, 200]
    assert deviation.tolist() == [50, 0]
    assert looks.small(images[:, :, :16, :16], torch.tensor([0]))[0].shape == (1, 3, 16, 16)


def two_classes() -> tuple[torch.Tensor, torch.Tensor]:
    """Return unit features [60, 8] about two axes, and labels of which the first of each class is wrong."""
    axis = torch.arange(2).repeat_interleave(30)
    noise = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    given = axis.clone()
    given[0], given[30] = 1, 0
    return F.normalize(F.one_hot(axis, 8) + 0.2 * noise, dim=1), given


def test_a_label_that_the_neighbours_contradict_is_suspicious():
    x, given = two_classes()
    near = labels.neighbourhood(x, given, 2, 10, torch.full((60,), -1))
    assert labels.suspicious(near.votes, given).nonzero().flatten().tolist() == [0, 30]
    assert near.votes.sum(1).allclose(torch.ones(60))
    unlabelled = torch.where(torch.arange(60) == 0, -1, given)
    near = labels.neighbourhood(x, unlabelled, 2, 10, torch.full((60,), -1))
    assert labels.suspicious(near.votes, unlabelled).nonzero().flatten().tolist() == [30]


def test_copies_of_an_image_do_not_speak_for_its_label():
    x, given = two_classes()
    x[1:12], given[1:12] = x[0], given[0]  # eleven copies with the same wrong label
    same = torch.full((60,), -1)
    assert not labels.suspicious(labels.neighbourhood(x, given, 2, 10, same).votes, given)[0]
    same[:12] = 0
    assert labels.suspicious(labels.neighbourhood(x, given, 2, 10, same).votes, given)[0]


def test_an_image_with_many_copies_is_as_far_as_its_last_neighbour_that_is_none():
    x, given = two_classes()
    x[:55], same = x[0], torch.full((60,), -1)
    same[:55] = 0
    near = labels.neighbourhood(x, given, 2, 10, same)  # where five are no copy
    assert near.distance[:55].allclose(1 - (x[0] @ x[55:].T).min(), atol=1e-5)
    assert not labels.outliers(near.distance)[:55].any()
    all_one = labels.neighbourhood(x[:55], given[:55], 2, 10, same[:55])
    assert not all_one.distance.any() and not labels.outliers(all_one.distance).any()


def test_what_is_far_from_all_others_is_an_outlier():
    x, given = two_classes()
    x[7] = F.one_hot(torch.tensor(7), 8).float()
    near = labels.neighbourhood(x, given, 2, 10, torch.full((60,), -1))
    assert labels.outliers(near.distance).nonzero().flatten().tolist() == [7]
    alone = labels.neighbourhood(x[:1], given[:1], 2, 10, torch.tensor([-1]))
    assert alone.votes.tolist() == [[0, 0]] and not labels.outliers(alone.distance).any()


def member(number: int, split: str, label: str) -> Member:
    return Member(number, f"{split}/{number}.png", split, label)


TRAIN, WRONG = member(0, "train", "a"), member(1, "train", "b")
VAL, TEST = member(2, "val", "a"), member(3, "test", "a")


def test_the_worst_comes_first():
    worst = [
        Finding("exact copies", (TRAIN, TEST)),
        Finding("near copies", (TRAIN, TEST)),
        Finding("exact copies", (TRAIN, VAL)),
        Finding("near copies", (TRAIN, WRONG)),
        Finding("exact copies", (TRAIN, TRAIN)),
        Finding("suspicious label", (TRAIN,)),
        Finding("blank", (TRAIN,)),
        Finding("small class", ()),
        Finding("outlier", (TRAIN,)),
    ]
    assert ordered(worst[::-1]) == worst
    assert list(counts(worst))[0] == "exact copies in train and test"
    assert counts(worst)["near copies with unlike labels"] == (1, 2)
    assert [one.leak for one in worst[:4]] == [True, True, True, False] and worst[3].conflict
    assert fails(worst, "leak") and not fails(worst[3:], "leak") and fails(worst[3:], "conflict")
    assert fails(worst[6:], "any") and not fails([], "any") and not fails(worst, None)


def test_a_table_is_read_back(tmp_path):
    many = tuple(member(i, "train", "a") for i in range(10_000))  # the names are one cell
    findings = [Finding("near copies", (TRAIN, TEST), 'a, "b"\nc'), Finding("small class", (), "x: 0 train images")]
    (tmp_path / "many.csv").write_bytes(as_csv([Finding("blank", many)]))
    (tmp_path / "a.csv").write_bytes(as_csv(findings))
    rows = read_csv(tmp_path / "a.csv")
    assert [row["detail"] for row in rows] == [one.detail for one in findings]
    here = again(rows, {TRAIN.name: TRAIN, TEST.name: TEST})
    assert here == findings and again(rows, {}) == findings[1:]
    assert again(read_csv(tmp_path / "many.csv"), {one.name: one for one in many})[0].members == many
    (tmp_path / "b.csv").write_text("path,label\na.png,cat\n")
    (tmp_path / "c.csv").write_bytes(as_csv([]))
    assert read_csv(tmp_path / "b.csv") is None and read_csv(tmp_path / "c.csv") == []
