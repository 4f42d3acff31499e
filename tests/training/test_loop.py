"""The loop: accumulation, clipping, the schedule, what happens to a loss that is not a number."""

import json
import math

import pytest
import torch
from experiments import composed, tensors, train

from ssl_cli.data.loader import Loader, mix
from ssl_cli.errors import RunError
from ssl_cli.runs import checkpoint
from ssl_cli.setup.prepare import prepare
from ssl_cli.training.loop import accumulation_parts


def test_accumulated_parts_give_the_gradient_of_the_whole_batch():
    """For a mean over images without BatchNorm's statistics, parts must add up to the batch."""
    experiment = prepare(composed("train", ["method=supervised", "augment=none", "trainer.batch_size=32"]))
    method = experiment.method.eval()  # BatchNorm uses running statistics, so parts do not see each other
    gradients = []
    for parts in (1, 4):
        method.zero_grad()
        for part in accumulation_parts(experiment.loader.batch(0), parts):
            task = experiment.pretext(part, torch.Generator())
            (method(task)["loss"] / parts).backward()
        gradients.append([p.grad.clone() for p in method.parameters()])
    for whole, sum_of_parts in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, sum_of_parts, rtol=1e-4, atol=1e-6)


def test_accumulation_and_clipping_run_and_clipping_bounds_the_step(tmp_path):
    small = ["optimizer=sgd", "optimizer.momentum=0.0", "optimizer.nesterov=false", "optimizer.weight_decay=0.0"]
    small += [
        "optimizer.scale=none",
        "optimizer.lr=1.0",
        "schedule.warmup=0%",
        "trainer.max_steps=1",
        "backbone.widths=[4,8]",
    ]
    before = prepare(composed("train", ["trainer.batch_size=64", "backbone.widths=[4,8]"])).method.state_dict()
    norms = {}
    for clip in ("null", "0.01"):
        name = clip.replace(".", "_")
        _, run = train(tmp_path / name, [*small, f"trainer.clip_grad={clip}", "trainer.accumulate=2"])
        after = checkpoint.load(run.checkpoint_file())["model"]
        changed = [(after[k] - before[k]).norm() for k in before if "running" not in k and "num_batches" not in k]
        norms[clip] = torch.stack(changed).norm().item()
    assert norms["null"] > 0.02
    assert norms["0.01"] <= 0.0101


def test_the_learning_rate_follows_the_schedule(tmp_path):
    _, run = train(
        tmp_path / "run",
        ["trainer.max_steps=10", "schedule.warmup=2 steps", "optimizer.lr=0.01", "backbone.widths=[4,8]"],
    )
    rates = [json.loads(line).get("lr") for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    rates = [rate for rate in rates if rate is not None]
    assert rates[0] == pytest.approx(0.005) and rates[1] == pytest.approx(0.01)
    assert rates[2:] == sorted(rates[2:], reverse=True) and rates[-1] < 1e-3


def test_a_loss_that_is_not_a_number_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path):
    overrides = ["method=supervised", "trainer.epochs=3", "trainer.eval_every=100", "backbone.widths=[4,8]"]
    train(tmp_path / "run", overrides, stop_after=20)
    good = tensors(checkpoint.load(tmp_path / "run/checkpoints/last.pt")["model"])
    with pytest.raises(RunError, match=r"loss became nan at step 23;.*last good checkpoint.*optimizer.lr"):
        poisoned(tmp_path / "run", overrides)
    kept = checkpoint.load(tmp_path / "run/checkpoints/last.pt")["model"]
    assert all(value.isfinite().all() for value in tensors(kept).values() if value.is_floating_point())
    assert tensors(kept).keys() == good.keys()


def poisoned(path, overrides):
    """Go on with a run whose loss is not a number from step 22 on."""
    from ssl_cli.methods.supervised import Supervised

    forward, calls = Supervised.forward, []

    def broken(self, task):
        calls.append(1)
        outputs = forward(self, task)
        return {**outputs, "loss": outputs["loss"] * math.nan} if len(calls) > 2 else outputs

    Supervised.forward = broken
    try:
        train(path, overrides)
    finally:
        Supervised.forward = forward


def test_an_epoch_sees_each_image_at_most_once_and_another_epoch_another_order():
    loader = make_loader(positions=100, batch_size=16, steps_per_epoch=6)
    epochs = [torch.cat([loader.batch(e * 6 + i).indices for i in range(6)]) for e in range(2)]
    assert all(len(epoch.unique()) == 96 for epoch in epochs)
    assert not torch.equal(*epochs)


def test_few_labels_are_gone_through_again():
    loader = make_loader(positions=10, batch_size=16, steps_per_epoch=5)
    counts = torch.cat([loader.batch(i).indices for i in range(5)]).bincount(minlength=10)
    assert counts.min() == counts.max() == 8


def test_a_batch_depends_on_the_step_alone():
    forwards, backwards = (make_loader(100, 16, 6) for _ in range(2))
    expected = [forwards.batch(step).indices for step in range(12)]
    for step in reversed(range(12)):
        assert torch.equal(backwards.batch(step).indices, expected[step])


def make_loader(positions, batch_size, steps_per_epoch):
    images, labels = torch.zeros(100, 1, 2, 2, dtype=torch.uint8), torch.zeros(100, dtype=torch.int64)
    return Loader(
        images,
        labels,
        torch.arange(positions),
        batch_size=batch_size,
        steps_per_epoch=steps_per_epoch,
        seed=0,
        device=torch.device("cpu"),
    )


def test_mixed_seeds_differ_and_stay_within_what_torch_takes():
    seeds = {mix(seed, a, b) for seed in range(10) for a in range(10) for b in range(10)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
