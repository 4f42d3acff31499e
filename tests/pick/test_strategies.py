"""Which images are picked: nested, never one with a label, and those that the papers' rules say."""

import pytest
import torch
import torch.nn.functional as F

from ssl_cli.errors import UserError
from ssl_cli.pick.coverage import coverage, radius
from ssl_cli.pick.strategies import Pool, pick
from ssl_cli.pick.typical import typical

CLUSTERS, EACH = 4, 30


@pytest.fixture(scope="module")
def blobs():
    """Unit vectors [120, 8] about four axes, tighter towards the middle of each, and the axis of each."""
    generator = torch.Generator().manual_seed(0)
    axis = torch.arange(CLUSTERS).repeat_interleave(EACH)
    spread = torch.linspace(0.02, 0.3, EACH).repeat(CLUSTERS)[:, None]
    return F.normalize(F.one_hot(axis, 8) + spread * torch.randn(len(axis), 8, generator=generator), dim=1), axis


@pytest.mark.parametrize("strategy", ["typical", "coverage", "uncertain", "random"])
def test_picks_are_nested_seeded_and_without_a_label(blobs, strategy):
    x, _ = blobs
    train, known = torch.arange(20, 120), torch.tensor([25, 60, 61])

    def picked(count, seed=0):
        pool = Pool.of(train, known, seed, 1000)
        return pick(strategy, pool, count, seed, CLUSTERS, x.__getitem__, lambda at: at.float() % 7).tolist()

    most = picked(97)
    assert sorted(most) == [i for i in range(20, 120) if i not in (25, 60, 61)]  # each once, all of them at last
    assert picked(10) == most[:10] and picked(23) == most[:23]
    assert picked(10) == picked(10) and picked(10, seed=1) != picked(10)


def test_the_first_are_one_of_each_cluster_and_from_its_middle(blobs):
    x, axis = blobs
    none = x[:0]
    for first in (typical(x, none, CLUSTERS, CLUSTERS, 0), coverage(x, none, CLUSTERS, CLUSTERS, 0)):
        assert sorted(axis[first].tolist()) == [0, 1, 2, 3]
        assert (first % EACH < EACH // 2).all()  # the tighter half
    by_hand = []
    for cluster in range(CLUSTERS):
        rows = (axis == cluster).nonzero().squeeze(1)
        near = torch.cdist(x[rows].double(), x[rows].double()).sort(1).values[:, 1 : EACH // 2 + 1]  # not itself
        by_hand.append(int(rows[near.mean(1).argmin()]))
    assert sorted(typical(x, none, CLUSTERS, CLUSTERS, 0).tolist()) == by_hand


def test_a_cluster_that_has_a_label_waits(blobs):
    x, axis = blobs
    known, free = x[axis == 2][:3], x[axis != 2]
    free_axis = axis[axis != 2]
    for found in (typical(free, known, 3, CLUSTERS - 1, 0), coverage(free, known, 3, CLUSTERS, 0)):
        assert sorted(free_axis[found].tolist()) == [0, 1, 3]


def test_coverage_takes_the_farthest_once_all_are_covered():
    turn = torch.deg2rad(torch.tensor([0.0, 1, 2, 90, 91, 92]))
    x = torch.stack([turn.cos(), turn.sin()], 1)
    within = radius(x, torch.tensor([0, 0, 0, 1, 1, 1]))
    assert within == pytest.approx(2 * torch.sin(torch.deg2rad(torch.tensor(88.0 / 2))).item(), rel=1e-4)
    found = coverage(x, x[:0], 3, 2, 0).tolist()
    assert {i // 3 for i in found[:2]} == {0, 1}  # either covers its side
    left = [i for i in range(6) if i not in found[:2]]
    gaps = torch.cdist(x.double(), x[found[:2]].double()).amin(1)
    assert gaps[found[2]] == pytest.approx(gaps[left].max().item(), abs=1e-6)


def test_the_least_sure_come_first():
    pool = Pool(torch.tensor([4, 2, 9, 7]), torch.tensor([1]))
    margins = {4: 0.5, 2: 0.1, 9: 0.9, 7: 0.2}
    found = pick("uncertain", pool, 3, 0, 2, None, lambda at: torch.tensor([margins[i] for i in at.tolist()]))
    assert found.tolist() == [2, 7, 4]


@pytest.mark.parametrize(
    ("known", "told"),
    [([3], "n=9: only 4 train images have no label.* write n=4 or less"), (range(5), "no train image is without")],
)
def test_more_than_there_are_is_one_line(known, told):
    pool = Pool.of(torch.arange(5), torch.tensor(list(known)), 0, 100)
    with pytest.raises(UserError, match=told):
        pick("random", pool, 9, 0, 2, None, None)


def test_features_that_are_all_equal_are_picked_from_like_any():
    x = torch.ones(12, 3) / 3**0.5
    for found in (typical(x, x[:0], 5, 4, 0), coverage(x, x[:0], 5, 4, 0)):
        assert len(set(found.tolist())) == 5
