"""What must hold for every method that takes clips, on tiny ones."""

import pytest
import torch
from experiments import CONF, SMALL, composed, train
from omegaconf import OmegaConf

from ssl_cli.setup.plan import plan
from ssl_cli.setup.prepare import prepare
from ssl_cli.setup.restore import rebuild

TINY = [
    "dataset=moving_shapes",
    "dataset.num_clips=96",
    "dataset.storage_size=8",
    "dataset.frames=8",
    "dataset.view_frames=4",
    "trainer.batch_size=16",
]
NARROW = "backbone.widths=[4,8]"
VIEWS = [
    *("simclr", "moco", "moco_v3", "nnclr", "byol", "simsiam", "barlow_twins", "vicreg", "swav", "deepcluster"),
    *("siamese", "triplet", "supcon", "supervised", "pseudo_label", "mean_teacher", "fixmatch", "flexmatch"),
]
CHOSEN = {
    **{method: [f"method={method}"] for method in VIEWS},
    "cpc": ["method=cpc", "method.skip=0"],
    "swav": ["method=swav", "method.prototypes=8", "method.freeze_epochs=0"],
    "two_clips": ["method=simclr", "pretext=two_clips"],
    **{pretext: ["method=predict", f"pretext={pretext}"] for pretext in ("pace", "arrow_of_time")},
    "clip_order": ["method=predict", "pretext=clip_order", "pretext.gap=0"],
}


def overrides(name: str) -> list[str]:
    chosen = CHOSEN[name]
    keys = OmegaConf.load(CONF / "method" / f"{chosen[0].split('=')[1]}.yaml")
    mixed = ["dataset.labels=2/class", "trainer.batch_size=32", "method.mu=3"] if "mu" in keys else []
    return [*TINY, *chosen, NARROW, *mixed]


@pytest.mark.parametrize("name", CHOSEN)
def test_a_step_reaches_every_parameter(name):
    experiment = prepare(composed("train", overrides(name)))
    method = experiment.method.train()
    method.start_epoch(0)
    torch.manual_seed(0)
    loss = method(experiment.pretext(experiment.loader.batch(0), torch.Generator().manual_seed(0)))["loss"]
    loss.backward()
    assert loss.isfinite()
    missing = [
        key
        for key, parameter in method.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    ]
    assert not missing


@pytest.mark.parametrize("name", ["simclr", "pace"])
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(name, tmp_path):
    settings = [*overrides(name), "trainer.max_steps=5", "trainer.eval_every=100"]
    _, whole = train(tmp_path / "whole", settings)
    train(tmp_path / "halves", settings, stop_after=2)
    _, halves = train(tmp_path / "halves", settings)
    one, two = (rebuild(run.checkpoint_file()).method.state_dict() for run in (whole, halves))
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize(
    ("typed", "sees", "norm"),
    [
        (["method=cpc", "dataset=moving_shapes"], "differences", "group"),
        (["method=cpc", "dataset=clips", "dataset.root=x"], "frames", "group"),
        (["method=cpc", "dataset=moving_shapes", "backbone=convnet_video"], "frames", "group"),
        (["method=cpc", "dataset=moving_shapes", "backbone.norm=batch"], "differences", "batch"),
        (["method=simclr", "dataset=moving_shapes"], "differences", "batch"),
    ],
)
def test_the_data_bring_the_network_the_method_its_norm_and_what_is_typed_wins(typed, sees, norm):
    backbone = composed("train", typed).backbone
    assert (backbone.sees, backbone.norm) == (sees, norm)


def test_cpc_trains_on_moving_shapes_as_typed(tmp_path):
    settings = ["method=cpc", "dataset=moving_shapes", "dataset.num_clips=200", "trainer.max_steps=2"]
    experiment, run = train(tmp_path, settings)
    assert dict(plan(experiment, "x"))["network"] == "VideoConvNet, sees=differences, norm=group"
    assert OmegaConf.load(run.path / "config.yaml").backbone.norm == "group"
    begun, ended = prepare(composed("train", [*SMALL, *settings])).method.state_dict(), experiment.method.state_dict()
    assert not any(key.endswith("running_mean") for key in ended)
    assert not any(torch.equal(begun[key], ended[key]) for key in ended)
