"""CPC: the loss against closed forms, grids, and that a context knows nothing of the rows below it."""

import math

import pytest
import torch
from experiments import composed

from ssl_cli.batch import Task
from ssl_cli.data.clips.info import ClipInfo
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.errors import UserError
from ssl_cli.methods.cpc import info_nce
from ssl_cli.methods.shared.pieces import Stretches
from ssl_cli.setup.parts import build_method


def built(*overrides, size=16):
    info = ImageInfo("tiny", 1, size, (), 64, 64, 0, (0.5,), (0.25,))
    grid = ["method.stride=2", "method.steps=2"]
    return build_method(composed("train", ["method=cpc", *grid, *overrides]), info).eval()


def test_info_nce_of_one_right_and_three_wrong():
    candidates = torch.eye(4, dtype=torch.float64)
    own = torch.arange(4)
    loss, accuracy = info_nce(5 * candidates, candidates, own)
    assert loss.item() == pytest.approx(0.020012, abs=1e-6) and accuracy == 1
    wrong, accuracy = info_nce(5 * candidates.roll(1, 0), candidates, own)
    assert wrong.item() == pytest.approx(5.020012, abs=1e-6) and accuracy == 0
    zero, _ = info_nce(0 * candidates, candidates, own)
    assert zero.item() == pytest.approx(math.log(4))


@pytest.mark.parametrize("candidates", [17, 64, 128])
def test_knowing_nothing_costs_the_log_of_the_candidates(candidates):
    loss, _ = info_nce(torch.zeros(3, 8), torch.randn(candidates, 8), torch.arange(3))
    assert loss.item() == pytest.approx({17: 2.833213, 64: 4.158883, 128: 4.852030}[candidates], abs=1e-5)


def test_info_nce_equals_the_equation_row_by_row():
    generator = torch.Generator().manual_seed(0)
    predicted, z = (torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (5, 9))
    own = torch.tensor([8, 0, 3, 3, 5])
    rows = []
    for p, i in zip(predicted, own.tolist(), strict=True):
        scores = [math.exp(float(p @ candidate)) for candidate in z]
        rows.append(-math.log(scores[i] / sum(scores)))
    assert info_nce(predicted, z, own)[0].item() == pytest.approx(sum(rows) / 5, abs=1e-10)


@pytest.mark.parametrize(("size", "patch", "stride", "grid"), [(64, 16, 8, 7), (32, 8, 4, 7), (16, 8, 2, 5)])
def test_grids(size, patch, stride, grid):
    model = built(f"method.patch_size={patch}", f"method.stride={stride}", size=size)
    assert model.encode(torch.randn(2, 1, size, size)).shape == (2, 64, grid, grid)


def test_patches_lie_where_they_should():
    model = built()
    images = torch.randn(2, 1, 16, 16)
    z = model.encode(images)
    alone = model.project(model.backbone(images[:, :, 2:10, 4:12])[:, :, None, None])
    torch.testing.assert_close(z[:, :, 1, 2], alone[:, :, 0, 0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("row", range(4))
def test_a_context_knows_nothing_of_the_rows_below(row):
    model = built()
    z = torch.randn(2, 64, 5, 5)
    other = z.clone()
    other[:, :, row + 1 :] = torch.randn_like(other[:, :, row + 1 :])
    first, second = model.context(z), model.context(other)
    assert torch.equal(first[:, :, : row + 1], second[:, :, : row + 1])
    assert not torch.allclose(first[:, :, row + 1 :], second[:, :, row + 1 :])


def test_untrained_it_is_near_chance_and_the_wrong_context_is_worse_once_trained():
    torch.manual_seed(0)
    model = built("backbone.widths=[8,16]").train()
    images = torch.zeros(32, 1, 16, 16)
    for i in range(32):  # each image is a plane of its own: its lower patches follow from the upper ones
        images[i, 0] = torch.randn(1) + torch.randn(1) * torch.linspace(-1, 1, 16)[:, None]
    task = Task([images], None, torch.full((32,), -1), torch.arange(32))
    with torch.no_grad():
        for predictor in model.predictors:
            predictor.weight.mul_(1e-3)
    assert model(task)["loss"].item() == pytest.approx(math.log(32 * 25), abs=0.05)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(20):
        optimizer.zero_grad()
        model(task)["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        trained = model(task)["loss"]
        forward = model.context.forward
        model.context.forward = lambda z: forward(z).roll(1, 0)
        shuffled = model(task)["loss"]
    assert trained < math.log(32 * 25) - 0.5 and shuffled > trained + 0.5


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["backbone.norm=batch"], "write backbone.norm=group"),
        (["method.patch_size=4"], "method.patch_size=8"),
        (["method.patch_size=32"], "the images have 16"),
        (["method.stride=8"], "2x2 grid.*smaller stride"),
        (["method.steps=5"], "method.steps=5"),
    ],
)
def test_what_does_not_fit_is_refused(overrides, said):
    with pytest.raises(UserError, match=said):
        built(*overrides)


def of_clips(*overrides, frames=9):
    info = ClipInfo("tiny", 1, frames, 12, 8.0, 8, (), 64, 64, 0, (0.5,), (0.25,))
    chosen = ["dataset=moving_shapes", "method=cpc", "backbone.sees=frames", "backbone.widths=[4,8]"]
    return build_method(composed("train", [*chosen, *overrides]), info).eval()


def test_stretches_of_a_clip_follow_each_other():
    model, clips = of_clips(), torch.randn(3, 9, 1, 8, 8)
    z = model.encode(clips)
    assert z.shape == (3, 64, 4, 1)  # the ninth frame is over
    alone = model.project(model.backbone(clips[:, 2:4])[:, :, None, None])
    torch.testing.assert_close(z[:, :, 1], alone[:, :, 0], atol=1e-5, rtol=1e-4)


def test_stretches_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match=r"method.piece=3 cuts 6 frames into 2 pieces, too few .* smaller method.piece"):
        of_clips("method.piece=3", frames=6)
    model = of_clips()
    model.backbone.min_frames = 4
    with pytest.raises(
        UserError, match=r"method.piece=2 does not fit: .* needs 4 frames or more; write method.piece=4"
    ):
        Stretches(model.backbone, model.data, 2, 1, 1)
