"""Fewer pixels first: which step has which size, and what cannot have it."""

import pytest
from experiments import composed, train

from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.backbones.video.convnet_video import VideoConvNet
from ssl_cli.errors import UserError
from ssl_cli.pretext.progressive import ViewSizes
from ssl_cli.setup.prepare import prepare


def test_each_step_has_the_size_of_the_first_stage_that_is_not_over():
    sizes = ViewSizes(["20 until 10 steps", "24 until 2 epochs", "28 until 80%"], 32, 10, 50)
    assert [sizes(step) for step in (0, 9, 10, 19, 20, 39, 40, 49)] == [20, 20, 24, 24, 28, 28, 32, 32]
    assert str(sizes) == "20 until step 10, 24 until step 20, 28 until step 40, then 32 pixels"
    assert {ViewSizes([], 32, 10, 50)(step) for step in range(50)} == {32}


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        (["20"], "'20' is not a stage; write '20 until 50%'"),
        (["20 until noon"], "'noon' is not a duration"),
        (["40 until 50%"], "asks for 40 pixels, and views have 32"),
        (["0 until 50%"], "asks for 0 pixels"),
        (["20 until 50%", "24 until 40%"], "'24 until 40%' ends before the stage before it"),
    ],
)
def test_a_stage_that_cannot_be_is_an_error(stages, told):
    with pytest.raises(UserError, match=told):
        ViewSizes(stages, 32, 10, 50)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["method=cpc"], "CPC takes inputs of one size"),
        (["method=predict", "pretext=jigsaw"], "Jigsaw takes inputs of one size"),
        (["backbone.widths=[4,8,8,8]"], "a stage has 10 pixels, and this backbone needs at least 16"),
        (["backbone=vit_small_images", "backbone.dim=16"], "cannot be cut into patches of 4"),
    ],
)
def test_what_needs_one_size_or_a_larger_one_says_so_before_training(overrides, told):
    with pytest.raises(UserError, match=told):
        prepare(composed("train", ["trainer.progressive=[10 until 50%]", *overrides]))


CLIPS = [
    "dataset=moving_shapes",
    "dataset.num_clips=96",
    "dataset.storage_size=16",
    "trainer.batch_size=8",
    "probes={}",
]


@pytest.mark.parametrize(
    ("network", "method", "data"),
    [
        *((ConvNet, method, []) for method in ("simclr", "supervised", "fixmatch")),
        (VideoConvNet, "simclr", CLIPS),
    ],
)
def test_the_network_sees_views_of_the_size_of_their_step(network, method, data, tmp_path, monkeypatch):
    seen, forward = [], network.forward

    def spy(self, inputs):
        if self.training:
            seen.append(tuple(inputs.shape[-2:]))
        return forward(self, inputs)

    monkeypatch.setattr(network, "forward", spy)
    small = ["dataset.labels=4/class", "backbone.widths=[4,8]", "trainer.max_steps=4"]
    train(tmp_path / "run", [f"method={method}", "trainer.progressive=[8 until 1 steps,12 until 50%]", *small, *data])
    assert list(dict.fromkeys(seen)) == [(8, 8), (12, 12), (16, 16)]
