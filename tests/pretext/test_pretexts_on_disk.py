"""What must hold for every pretext in conf/pretext that yields pseudo-labels: a new file needs no listing here."""

import pytest
import torch
from experiments import CONF, composed, options, tensors, train
from omegaconf import OmegaConf

from ssl_cli.runs import checkpoint
from ssl_cli.setup.prepare import prepare

PRETEXTS = [
    name
    for name in options("pretext")
    if "pseudo_labels" in OmegaConf.load(CONF / "pretext" / f"{name}.yaml").get("_gives_", [])
]
SHAPES = ["dataset=shapes", "dataset.num_images=280", "method=predict", "backbone.widths=[4,8]"]


@pytest.fixture(params=PRETEXTS)
def overrides(request):
    return [*SHAPES, f"pretext={request.param}"]


def test_there_are_some():
    assert len(PRETEXTS) >= 6


def test_the_task_is_as_its_target_says_and_the_generator_decides(overrides):
    e = prepare(composed("train", [*overrides, "trainer.batch_size=64"]))
    batch, target = e.loader.batch(0), e.pretext.target
    first, again, other = (e.pretext(batch, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert len(first.views) == target.pieces
    rows = len(first.views[0])
    assert rows % 64 == 0 and len(first.labels) == len(first.indices) == len(first.targets) == rows
    assert first.indices.tolist() == batch.indices.repeat_interleave(rows // 64).tolist()
    assert all(view.shape[1] == 3 and view.shape[2] == (target.size or 32) for view in first.views)
    assert all(torch.equal(a, b) for a, b in zip(first.views, again.views, strict=True))
    assert torch.equal(first.targets, again.targets)
    changed = [not torch.equal(a, b) for a, b in zip(first.views, other.views, strict=True)]
    a = e.pretext.augment
    nothing_is_random = not any((a.affine.p, a.crop.p, a.flip, a.jitter.p, a.grey, a.blur.p, a.solarize.p, a.noise))
    assert any(changed) or not torch.equal(first.targets, other.targets) or nothing_is_random
    if target.kind == "class":
        assert first.targets.dtype == torch.int64 and first.targets.min() >= 0 and first.targets.max() < target.classes
    elif target.kind == "bins":
        assert first.targets.shape[:2] == (rows, target.classes)
        torch.testing.assert_close(first.targets.sum(1), torch.ones_like(first.targets[:, 0]))
    else:
        assert first.targets.shape == first.views[0].shape and first.masks.shape == (rows, 32, 32)
        assert first.masks.any() and not first.masks.all()


def test_it_is_learned_and_resumes_bitwise(overrides, tmp_path):
    overrides = [*overrides, "trainer.max_steps=4", "trainer.eval_every=100", "trainer.batch_size=32"]
    train(tmp_path / "straight", overrides)
    train(tmp_path / "stopped", overrides, stop_after=2)
    train(tmp_path / "stopped", overrides)
    straight, stopped = (
        tensors(checkpoint.load(tmp_path / d / "checkpoints/last.pt")) for d in ("straight", "stopped")
    )
    assert straight.keys() == stopped.keys()
    for key, value in straight.items():
        assert torch.equal(value, stopped[key]), key


def test_every_trainable_parameter_gets_a_gradient(overrides):
    e = prepare(composed("train", [*overrides, "trainer.batch_size=64"]))
    e.method.train()
    e.method(e.pretext(e.loader.batch(0), torch.Generator().manual_seed(0)))["loss"].backward()
    for key, parameter in e.method.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key
