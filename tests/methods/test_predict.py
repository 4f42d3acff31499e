"""The losses against closed forms, chance levels, and what the pictures show."""

import math

import pytest
import torch
from experiments import composed

from ssl_cli.batch import Target
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.errors import UserError
from ssl_cli.methods.predict import masked_square, rebalanced, soft_cross_entropy
from ssl_cli.setup.parts import build_method
from ssl_cli.setup.prepare import prepare


def test_equal_logits_are_chance_and_the_right_ones_the_entropy_of_the_target():
    targets = torch.rand(3, 230, 2, 2, dtype=torch.float64).softmax(1)
    ones = torch.ones(230, dtype=torch.float64)
    assert soft_cross_entropy(torch.zeros_like(targets), targets, ones).item() == pytest.approx(math.log(230))
    entropy = -(targets * targets.log()).sum(1).mean()
    torch.testing.assert_close(soft_cross_entropy(targets.log(), targets, ones), entropy)


def test_a_place_weighs_as_its_most_probable_bin():
    targets = torch.tensor([[[[0.6]], [[0.4]]], [[[0.1]], [[0.9]]]])
    logits = torch.tensor([[[[1.0]], [[0.0]]], [[[0.0]], [[2.0]]]])
    p = logits.log_softmax(1)
    rows = -(targets * p).sum(1).flatten()
    expected = (rows[0] * 3 + rows[1] * 0.5) / 2
    torch.testing.assert_close(soft_cross_entropy(logits, targets, torch.tensor([3.0, 0.5])), expected)


def test_rare_bins_weigh_more_and_the_mean_over_data_is_one():
    counts = torch.tensor([90.0, 9, 1, 0], dtype=torch.float64)
    w = rebalanced(counts, 0.5)
    assert (w * counts / 100).sum().item() == pytest.approx(1)
    assert (w.diff() > 0).all()
    # (0.5 * 0.9 + 0.125) / (0.5 * 0 + 0.125)
    assert (w[3] / w[0]).item() == pytest.approx(0.575 / 0.125)
    torch.testing.assert_close(rebalanced(counts, 1.0), torch.ones(4, dtype=torch.float64))


def test_only_what_was_hidden_counts():
    targets = torch.randn(4, 2, 6, 6)
    masks = torch.zeros(4, 6, 6, dtype=torch.bool)
    masks[:, 1:4, 2:5] = True
    predicted = targets.clone().requires_grad_()
    assert masked_square(predicted, targets, masks) == 0
    zero = torch.zeros_like(targets, requires_grad=True)
    loss = masked_square(zero, targets, masks)
    torch.testing.assert_close(loss, targets.square()[masks.unsqueeze(1).expand(-1, 2, -1, -1)].mean())
    loss.backward()
    assert (zero.grad[~masks.unsqueeze(1).expand(-1, 2, -1, -1)] == 0).all()


def test_the_pieces_of_an_example_are_told_apart_by_their_place():
    e = prepare(composed("train", ["method=predict", "pretext=jigsaw", "trainer.batch_size=16"]))
    method = e.method.eval()
    task = e.pretext(e.loader.batch(0), torch.Generator().manual_seed(0))
    logits = method._outputs(task)
    features = [method.backbone(view) for view in task.views]
    torch.testing.assert_close(logits, method.head(torch.cat(features, 1)), atol=1e-5, rtol=1e-5)
    task.views = task.views[::-1]
    assert not torch.allclose(method._outputs(task), logits)


def test_views_too_small_for_the_backbone():
    config = composed("train", ["method=predict", "pretext=jigsaw", "pretext.at_least=4"])
    with pytest.raises(UserError, match=r"7 pixels wide, this backbone needs 8; write pretext.at_least=8"):
        build_method(config, ImageInfo("tiny", 1, 16, (), 9, 9, 0, (0.5,), (0.2,)))


@pytest.mark.parametrize("pretext", ["inpainting", "colorization"])
def test_pictures_show_input_prediction_and_truth(pretext):
    size = ["dataset=shapes", "dataset.num_images=70", "dataset.storage_size=16", "trainer.batch_size=16"]
    e = prepare(composed("train", ["method=predict", f"pretext={pretext}", "augment=none", *size]))
    batch = e.loader.batch(0)
    task = e.pretext(batch, torch.Generator().manual_seed(0))
    with torch.no_grad():
        (images,) = e.method.eval().pictures(task).values()
    assert images.shape == (16, 3, 3, 16, 16) and images.min() >= 0 and images.max() <= 1
    if pretext == "inpainting":
        torch.testing.assert_close(images[:, 2], batch.images / 255, atol=1e-5, rtol=0)
        hidden = task.masks.unsqueeze(1).expand(-1, 3, -1, -1)
        torch.testing.assert_close(images[:, 1][~hidden], images[:, 2][~hidden])
        assert not torch.allclose(images[:, 1][hidden], images[:, 2][hidden])
    else:
        torch.testing.assert_close(images[:, 0], images[:, 0, :1].expand(-1, 3, -1, -1))  # grey
        assert not torch.allclose(images[:, 2, 0], images[:, 2, 1])


def test_a_target_that_is_no_class_needs_a_feature_map():
    assert Target("pixels", 1).pieces == 1
    config = composed("train", ["method=predict", "pretext=inpainting"])
    method = build_method(config, ImageInfo("tiny", 1, 16, (), 9, 9, 0, (0.5,), (0.2,)))
    x = torch.randn(2, 1, 16, 16)
    torch.testing.assert_close(method.backbone.feature_map(x).mean((2, 3)), method.backbone(x))


def test_smoothing_spreads_a_share_of_the_target_over_all_classes():
    settings = ["method=predict", "pretext=exemplar", "trainer.batch_size=16", "method.layers=1"]
    e = prepare(composed("train", [*settings, "method.label_smoothing=0.3"]))
    method = e.method.eval()
    task = e.pretext(e.loader.batch(0), torch.Generator().manual_seed(0))
    with torch.no_grad():
        logp = method._outputs(task).log_softmax(1)
        expected = -(0.7 * logp.gather(1, task.targets[:, None]).mean() + 0.3 * logp.mean())
        torch.testing.assert_close(method(task)["loss"], expected)
