"""Pretexts of clips, on clips whose pixels say which frame they are."""

import math

import pytest
import torch
from experiments import option

from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch
from ssl_cli.config.build import instantiate
from ssl_cli.data.clips.info import ClipInfo
from ssl_cli.errors import UserError

FRAMES, SEEN = 16, 6


def info(frames: int = SEEN, stored: int = FRAMES) -> ClipInfo:
    return ClipInfo("numbered", 1, frames, stored, 8.0, 8, (), 0, 0, 0, (0.0,), (1.0 / 255,))


def batch(n: int = 64, stored: int = FRAMES) -> Batch:
    """Clip i shows, in frame t, 10 t everywhere and i in a corner."""
    rows = (10 * torch.arange(stored)).view(1, -1, 1, 1, 1).expand(n, -1, 1, 8, 8).to(torch.uint8).clone()
    rows[..., 0, 0] = torch.arange(n).view(-1, 1, 1)
    return Batch(rows, torch.full((n,), -1), torch.arange(n))


def pretext(name: str, data: ClipInfo | None = None, **settings):
    node = {key: value for key, value in option("pretext", name).items() if key != "size"} | settings
    return instantiate(node, augment=Augment(), data=data or info())


def times(view: torch.Tensor) -> torch.Tensor:
    """Return which stored frame each frame of a view is: [B, T]."""
    return (view[:, :, 0, 4, 4] / 10).round().long()


def made(task_of, n: int = 64, seed: int = 0):
    return task_of(batch(n), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["two_clips", "pace", "arrow_of_time", "clip_order", "two_views", "augment"])
def test_the_same_generator_gives_the_same_task_and_rows_stay_in_their_places(name):
    one, two, other = (made(pretext(name), seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one.views, two.views, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.views, other.views, strict=True))
    for view in one.views:
        assert (view[:, :, 0, 0, 0].round() == torch.arange(64).unsqueeze(1)).all()


def test_any_view_is_a_segment_and_all_segments_occur():
    (view,) = made(pretext("augment"), 400).views
    found = times(view)
    assert (found.diff(dim=1) == 1).all()
    assert sorted(set(found[:, 0].tolist())) == list(range(FRAMES - SEEN + 1))


@pytest.mark.parametrize("nearer", [0.0, 1.0, 3.0])
def test_two_clips_are_as_far_apart_as_their_distribution_says(nearer):
    first, second = made(pretext("two_clips", nearer=nearer), 250, seed=1).views
    for _seed in range(2, 10):
        more = made(pretext("two_clips", nearer=nearer), 250, seed=_seed).views
        first, second = torch.cat([first, more[0]]), torch.cat([second, more[1]])
    apart = times(second)[:, 0] - times(first)[:, 0]
    assert (apart > 0).any() and (apart < 0).any()
    counts = apart.abs().bincount(minlength=11).double()
    expected = (1 - torch.arange(11) / 11.0).double() ** nearer
    expected *= len(apart) / expected.sum()
    assert ((counts - expected).square() / expected.clamp(min=1)).sum() < 35  # chi-squared of 10 degrees


def test_a_distance_in_seconds_is_a_limit():
    first, second = made(pretext("two_clips", distance=0.5, nearer=0.0), 250).views  # of 8 frames a second
    apart = (times(second)[:, 0] - times(first)[:, 0]).abs()
    assert sorted(set(apart.tolist())) == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match=r"pretext.distance=-1 is neither"):
        pretext("two_clips", distance=-1)


def test_pace_is_the_step_between_frames():
    of_pace = pretext("pace")
    task = made(of_pace, 250)
    (view,) = task.views
    assert view.shape[1] == 6  # (16 - 1) // 3 + 1
    assert (times(view).diff(dim=1) == (task.targets + 1).unsqueeze(1)).all()
    assert task.targets.bincount().min() > 50
    assert of_pace.answers(task)[0] == f"{task.targets[0] + 1}x"
    starts = times(view)[task.targets == 0, 0]
    assert starts.min() == 0 and starts.max() == FRAMES - 6


@pytest.mark.parametrize("paces", [[1], [1, 1], [0, 1], [1, 2.5]])
def test_paces_that_are_none(paces):
    with pytest.raises(UserError, match="is not a list of two or more different whole numbers"):
        pretext("pace", paces=paces)


def test_paces_that_leave_one_frame():
    with pytest.raises(UserError, match="the fastest leaves only one"):
        pretext("pace", paces=[1, 16])


def test_the_arrow_of_time():
    of_time = pretext("arrow_of_time")
    task = made(of_time, 250)
    step = times(task.views[0]).diff(dim=1)
    assert (step == (1 - 2 * task.targets).unsqueeze(1)).all()
    assert 90 < task.targets.sum() < 160
    assert set(of_time.answers(task)) == {"forwards", "backwards"}
    with pytest.raises(UserError, match="one frame has no order"):
        pretext("arrow_of_time", info(frames=1))


@pytest.mark.parametrize("pieces", [2, 3])
def test_clip_order(pieces):
    of_order = pretext("clip_order", pieces=pieces)
    task = made(of_order, 250)
    assert of_order.target.classes == math.factorial(pieces) and of_order.target.pieces == len(task.views) == pieces
    found = torch.stack([times(view) for view in task.views], dim=1)  # [B, pieces, T]
    assert (found.diff(dim=2) == 1).all()
    order = found[:, :, 0].argsort(1).argsort(1)  # which piece in time is at each place
    assert torch.equal(order, of_order.permutations[task.targets])
    assert len(task.targets.unique()) == math.factorial(pieces)
    sorted_ = found.sort(1).values
    assert (sorted_[:, 1:, 0] > sorted_[:, :-1, -1]).all()  # no frame is in two
    assert of_order.answers(task)[0] == "pieces " + " ".join(str(i + 1) for i in order[0].tolist())


def test_pieces_of_a_clip_are_changed_alike():
    of_order = pretext("clip_order")
    of_order.augment = Augment(flip=0.5)
    task = made(of_order, 64)
    mark = torch.arange(64).view(-1, 1, 1)  # in the upper left corner, of all frames
    left = torch.stack([(view[:, :, 0, 0, :1].round() == mark).all((1, 2)) for view in task.views], dim=1)
    assert (left == left[:, :1]).all()
    assert 15 < (~left[:, 0]).sum() < 49


def test_too_many_pieces():
    with pytest.raises(UserError, match="less than two are left for each"):
        pretext("clip_order", pieces=5, gap=2)
