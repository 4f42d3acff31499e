import pytest
import torch

from ssl_cli.data.clips import moving_shapes
from ssl_cli.data.clips.moving_shapes import MOTIONS
from ssl_cli.errors import UserError
from ssl_cli.probes.solvers.logistic import fit_logistic


@pytest.fixture(scope="module")
def data():
    return moving_shapes.load(num_clips=1600, storage_size=16, seed=0, channels=1)


def of(data, motion):
    return data.labels == MOTIONS.index(motion)


def shift_by_correlation(clips):
    """Return how far each frame has moved against the one before, in pixels right and down, by phase correlation."""
    frames = torch.fft.rfft2(clips[:, :, 0].double() - clips[:, :, 0].double().mean((2, 3), keepdim=True))
    peaks = torch.fft.irfft2(frames[:, 1:] * frames[:, :-1].conj()).flatten(2).argmax(2)
    side = clips.shape[-1]
    return [(part + side // 2) % side - side // 2 for part in (peaks % side, peaks // side)]


def test_format(data):
    assert data.clips.shape == (1600, 16, 1, 16, 16) and data.clips.dtype == torch.uint8
    assert data.inputs.shape == (1600, 8, 1, 16, 16)
    assert torch.equal(data.inputs, data.clips[:, 4:12])
    assert data.labels.bincount().tolist() == [200] * 8


def test_what_moves_goes_where_its_class_says():
    data = moving_shapes.load(num_clips=160, storage_size=32, seed=1, channels=1)
    right, down = (part.double().mean(1) for part in shift_by_correlation(data.clips))
    for motion, along, across, sign in (("right", right, down, 1), ("left", right, down, -1), ("down", down, right, 1)):
        rows = of(data, motion)
        assert (sign * along[rows] > 0.5).all(), motion  # STEP is 0.96 pixels or more
        expected = data.factors["speed"][rows] * 32
        assert (sign * along[rows] - expected).abs().max() < 0.5
        assert across[rows].abs().max() < 0.5
    for motion in ("clockwise", "growing"):
        assert data.factors["speed"][of(data, motion)].isnan().all()


def test_what_goes_there_comes_back_within_twelve_frames(data):
    clips = data.clips[of(data, "there and back")].double()
    away = (clips - clips[:, :1]).square().mean((2, 3, 4))  # of each frame from the first
    assert (away.max(1).values > 4 * away[:, 6:13].min(1).values).double().mean() > 0.9


def test_what_grows_covers_more_and_begins_anew(data):
    clips = data.clips[of(data, "growing")].double()
    area = (clips - clips[..., :1, :1].amin((1, 3, 4), keepdim=True)).abs().sum((2, 3, 4))
    steps = area.diff(dim=1) / area[:, :-1]
    assert 0.8 < (steps > 0).double().mean() < 0.97  # all but where it begins anew, every 12 to 24 frames
    assert (steps.amin(1) < -0.3).double().mean() > 0.4


def test_a_clip_does_not_depend_on_how_many_there_are(data):
    few = moving_shapes.load(num_clips=40, storage_size=16, seed=0, channels=1)
    assert torch.equal(few.clips, data.clips[:40])
    assert not torch.equal(few.clips, moving_shapes.load(40, 16, seed=1, channels=1).clips)


@pytest.mark.parametrize("time", [0, 7, 15])
def test_a_single_frame_tells_nothing_of_the_class(data, time):
    """Neither a linear probe of the pixels nor the nearest neighbour, both of which find the shapes."""
    frames = data.clips[:, time].float().flatten(1) / 255
    train, test = torch.arange(1200), torch.arange(1200, 1600)
    scaled = (frames - frames[train].mean(0)) / frames[train].std(0)
    weights, bias = fit_logistic(scaled[train][None], data.labels[train][None], len(MOTIONS), torch.tensor([0.1]))
    guessed = (scaled[test] @ weights[0, 0] + bias[0, 0]).argmax(1)
    right = (guessed == data.labels[test]).float().mean()
    nearest = data.labels[train][torch.cdist(frames[test], frames[train]).argmin(1)]
    by_neighbour = (nearest == data.labels[test]).float().mean()
    chance, spread = 1 / 8, (1 / 8 * 7 / 8 / 400) ** 0.5
    assert right < chance + 3.5 * spread
    assert by_neighbour < chance + 3.5 * spread


def test_where_and_how_large_a_frame_shows_it_is_the_same_for_all_classes(data):
    """The brightness of each pixel, and the area covered, have the same mean in every class at every time."""
    values = torch.cat([data.clips.double().mean((2, 3, 4)), data.clips.double().std((2, 3, 4))], dim=1)  # [N, 2 T]
    for label in range(len(MOTIONS)):
        rows, rest = values[data.labels == label], values[data.labels != label]
        z = (rows.mean(0) - rest.mean(0)) / (rows.var(0) / len(rows) + rest.var(0) / len(rest)).sqrt()
        assert z.abs().max() < 4, MOTIONS[label]


def test_a_network_cannot_see_more_frames_than_there_are():
    with pytest.raises(UserError, match="view_frames=9 is not between 1 and the 8 frames"):
        moving_shapes.load(num_clips=8, storage_size=8, frames=8, view_frames=9)
