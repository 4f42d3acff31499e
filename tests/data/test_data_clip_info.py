"""Facts about clips, and the baseline without a network."""

from dataclasses import replace

import pytest
import torch
from experiments import composed

from ssl_cli.augment.augment import Augment
from ssl_cli.data.clips import moving_shapes
from ssl_cli.data.clips.info import ClipInfo, segments
from ssl_cli.data.clips.strips import sheet, strip
from ssl_cli.data.dataset import load
from ssl_cli.data.describe import describe
from ssl_cli.data.kinds import info_from
from ssl_cli.errors import UserError


@pytest.fixture(scope="module")
def tiny():
    node = composed("train", ["dataset=moving_shapes", "dataset.num_clips=80", "dataset.storage_size=8"]).dataset
    data = load(dict(node))
    return data, describe(data, node)[0]


def test_a_checkpoint_keeps_them(tiny):
    _, info = tiny
    node = {"_kind_": "clip"}
    plain = info.to_dict()
    assert plain["kind"] == "clip" and info_from(plain, node) == info
    for name, value in (("frames", 17), ("fps", 0), ("std", [1.0, 1.0]), ("channels", "3"), ("stored_frames", None)):
        with pytest.raises(ValueError, match=f"data.{name} cannot be"):
            info_from({**plain, name: value}, node)


def test_what_a_network_sees_has_mean_0_and_deviation_1(tiny):
    data, info = tiny
    x = info.to_input(data.clips[data.splits["train"]])
    assert x.mean((0, 1, 3, 4)).abs().max() < 1e-3
    assert (x.std((0, 1, 3, 4)) - 1).abs().max() < 1e-2


def test_views_are_any_segments_and_as_many_as_asked_for(tiny):
    data, info = tiny
    rows = data.clips[:5]
    one, two = info.views(Augment(), rows, torch.Generator().manual_seed(0), count=2)
    assert one.shape == two.shape == (5, 8, 3, 8, 8)
    every = info.to_input(rows).unfold(1, 8, 1).permute(1, 0, 5, 2, 3, 4)  # [9, 5, 8, C, H, W]
    for view in (one, two):
        assert ((every - view).abs().amax((2, 3, 4, 5)) < 1e-5).any(0).all()
    assert info.visible(one).shape == (5, 3, 8, 6 * 9 - 1)


def test_segments_at_a_pace_of_their_own():
    rows = torch.arange(20).view(1, 20, 1, 1, 1).expand(3, -1, -1, -1, -1)
    cut = segments(rows, torch.tensor([0, 5, 2]), 4, torch.tensor([1, 2, 5])).flatten(1)
    assert cut.tolist() == [[0, 1, 2, 3], [5, 7, 9, 11], [2, 7, 12, 17]]


def test_the_baseline_is_small_frames_and_their_differences(tiny):
    data, info = tiny
    raw = data.raw(info)
    at = torch.tensor([3, 0, 7])
    features = raw.of(data.inputs, at)
    assert features.shape == (3, raw.dim) == (3, 7 * 3 * 64)
    torch.testing.assert_close(features, raw(info.to_input(data.inputs[at])), atol=1e-5, rtol=1e-4)
    frames = data.inputs[at].float().div(255).unflatten(1, (4, 2)).mean(2)  # [3, 4, C, H, W]
    mine = torch.cat([frames, frames.diff(dim=1)], dim=1).transpose(1, 2).flatten(1)
    torch.testing.assert_close(features, mine, atol=1e-5, rtol=1e-4)


def test_strips_are_white_between_frames():
    clips = torch.zeros(2, 9, 1, 4, 4)
    pictures = strip(clips, shown=3)
    assert pictures.shape == (2, 1, 4, 14)
    assert pictures[0, 0, 0].tolist() == [0] * 4 + [1] + [0] * 4 + [1] + [0] * 4


def test_a_picture_has_four_frames_in_a_square(tiny):
    data, _ = tiny
    (picture,) = data.pictures(torch.tensor([5]))
    assert picture.shape == (3, 17, 17) and picture.dtype == torch.uint8
    assert torch.equal(picture[:, :8, :8], data.clips[5, 0]) and torch.equal(picture[:, 9:, 9:], data.clips[5, 15])
    assert torch.equal(picture[:, :8, 9:], data.clips[5, 5]) and torch.equal(picture[:, 9:, :8], data.clips[5, 10])
    assert (picture[:, 8] == 255).all()


@pytest.mark.parametrize("frames", [1, 3, 16])
def test_pictures_are_of_the_same_frames_whatever_is_read(tiny, frames):
    data, at = replace(tiny[0], clips=tiny[0].clips[:, :frames], view_frames=1), torch.tensor([5, 2])
    assert torch.equal(torch.stack(data.pictures(at)), sheet(data.clips[at]))
    assert torch.equal(data.shown(at), strip(data.clips[at].float().div(255)))


def test_another_size_is_refused(tiny):
    data, info = tiny
    with pytest.raises(UserError, match="pretext.size=16: clips are seen as large as they are stored"):
        ClipInfo.check_seen(16)
    other = moving_shapes.load(num_clips=8, storage_size=12)
    with pytest.raises(UserError, match=r"trained on frames of 3x8x8 .* has 3x12x12; write dataset.storage_size=8"):
        info.fitted(other, (), "dataset")
    same, how = info.fitted(data, (), "dataset")
    assert same is data and how.startswith("8 frames at 8x8 pixels")


def test_equal_clips_are_found(tiny):
    data, _ = tiny
    assert data.contents().shape == (80, 16 * 3 * 8 * 8)
    assert data.shape == "8 frames of 3x8x8 pixels"
