"""A loss or gradient that is no number: seen at its step, and stopped at, left out, or gone back from."""

import json
import math

import pytest
import torch
from experiments import tensors, train

from ssl_cli.errors import RunError
from ssl_cli.methods.supervised import Supervised
from ssl_cli.runs import checkpoint
from ssl_cli.training.guard import GIVE_UP, Guard

TINY = [
    *("method=supervised", "dataset=shapes", "dataset.num_images=200", "dataset.storage_size=16", "dataset.channels=1"),
    *("backbone.widths=[4,8]", "augment=none", "trainer.batch_size=32", "trainer.epochs=2", "trainer.eval_every=2"),
]


class Overflow(torch.autograd.Function):
    """Passes a value on, and gives back an infinite gradient."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * math.inf


@pytest.fixture
def poison(monkeypatch):
    """Spoil the loss of the given training steps, counted from 1."""
    real, calls = Supervised.forward, []

    def choose(steps, how=lambda loss: loss * math.nan):
        def forward(self, task):
            calls.append(1)
            outputs = real(self, task)
            return {**outputs, "loss": how(outputs["loss"])} if len(calls) in steps else outputs

        monkeypatch.setattr(Supervised, "forward", forward)

    return choose


def rows(run):
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "how, what",
    [
        (lambda loss: loss * math.nan, "the loss became nan"),
        (lambda loss: loss * math.inf, "the loss became inf"),
        (Overflow.apply, "the gradient's norm became (nan|inf)"),
    ],
    ids=["nan", "inf", "gradient"],
)
def test_the_very_step_is_named_though_it_is_read_later(tmp_path, poison, how, what):
    poison({6}, how)
    with pytest.raises(RunError, match=rf"{what} at step 6; the last good checkpoint is .*last.pt; likely causes: opt"):
        train(tmp_path / "run", [*TINY, "trainer.log_every=4"])
    kept = checkpoint.load(tmp_path / "run/checkpoints/last.pt")
    assert kept["progress"]["step"] == 4
    assert all(value.isfinite().all() for value in tensors(kept["model"]).values() if value.is_floating_point())


def test_a_step_that_is_left_out_changes_nothing(tmp_path, poison):
    poison({3})
    _, run = train(tmp_path / "run", [*TINY, "trainer.on_nan=skip"])
    state = checkpoint.load(run.checkpoint_file())
    assert state["progress"]["skipped"] == 1 and state["progress"]["step"] == 8
    counts = {int(v) for k, v in state["model"].items() if k.endswith("num_batches_tracked")}
    assert counts == {7}  # nor does what the forward pass changes
    assert all(value.isfinite().all() for value in state["model"].values())
    assert {int(entry["step"]) for entry in state["optimizer"]["state"].values()} == {7}
    assert [row["step"] for row in rows(run) if "loss" in row] == [1, 2, 4, 5, 6, 7, 8]
    assert "the loss became nan at step 3: the step is left out" in (run.path / "train.log").read_text()


def test_steps_are_not_left_out_for_ever(tmp_path, poison):
    poison(set(range(2, 100)))
    with pytest.raises(RunError, match=f"{GIVE_UP} steps in a row were left out, and again the loss became nan"):
        train(tmp_path / "run", [*TINY, "trainer.on_nan=skip", "trainer.epochs=4"])


def test_a_rollback_goes_on_from_the_last_checkpoint_past_the_batches_since(tmp_path, poison):
    poison({6})
    _, run = train(tmp_path / "run", [*TINY, "trainer.on_nan=rollback"])
    state = checkpoint.load(run.checkpoint_file())
    assert state["progress"]["rollbacks"] == 1 and state["progress"]["step"] == 8
    assert all(value.isfinite().all() for value in state["model"].values())
    assert {int(entry["step"]) for entry in state["optimizer"]["state"].values()} == {6}  # four, and two after it
    assert [row["step"] for row in rows(run) if "loss" in row] == [1, 2, 3, 4, 7, 8]
    assert (
        "at step 6: back to the weights of step 4, past the batches up to step 6"
        in (run.path / "train.log").read_text()
    )


def test_there_is_nothing_to_go_back_to_before_the_first_checkpoint(tmp_path, poison):
    poison({2})
    with pytest.raises(RunError, match="cannot roll back: there is no checkpoint"):
        train(tmp_path / "run", [*TINY, "trainer.on_nan=rollback"])


def test_kept_checkpoints_are_those_of_their_epochs_and_only_the_newest(tmp_path):
    settings = [*TINY, "trainer.epochs=5", "trainer.keep_every=1", "trainer.keep_last=2", "trainer.save_every=3"]
    _, run = train(tmp_path / "run", settings)
    kept = {file.name: checkpoint.load(file)["progress"]["step"] for file in run.path.glob("checkpoints/epoch-*.pt")}
    assert kept == {"epoch-0004.pt": 16, "epoch-0005.pt": 20}


def test_what_is_written_in_the_background_is_bitwise_what_is_written_at_once(tmp_path, monkeypatch):
    settings = [*TINY, "trainer.eval_every=1"]
    _, at_once = train(tmp_path / "at_once", settings)
    monkeypatch.setattr("ssl_cli.training.saver.LARGE", 0)
    _, behind = train(tmp_path / "behind", settings)
    for name in ("last", "previous", "best"):
        one, other = (tensors(checkpoint.load(run.checkpoint_file(name))) for run in (at_once, behind))
        assert one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())


def test_an_error_in_the_background_surfaces(tmp_path, monkeypatch):
    monkeypatch.setattr("ssl_cli.training.saver.LARGE", 0)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunError, match="No space left on device; it needs"):
        train(tmp_path / "run", TINY)


@pytest.mark.parametrize("each", [False, True])
def test_clipping_bounds_the_norm_of_all_gradients_or_of_each_tensors(each):
    module = torch.nn.Linear(3, 2)
    grads = [torch.full((2, 3), 2.0), torch.tensor([0.3, 0.4])]  # of norms 4.9 and 0.5
    for p, grad in zip(module.parameters(), grads, strict=True):
        p.grad = grad.clone()
    Guard(module, False, 1.0, torch.device("cpu"), each).accepts(torch.tensor(0.0))
    norm = torch.cat([grad.flatten() for grad in grads]).norm()
    expected = [grads[0] / grads[0].norm(), grads[1]] if each else [grad / norm for grad in grads]
    for p, grad in zip(module.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, grad)


def test_only_what_stands_far_above_the_losses_before_is_a_spike():
    guard = Guard(torch.nn.Linear(1, 1), False, None, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    falling = [5 * 0.98**i + 0.1 * torch.randn((), generator=generator).item() for i in range(100)]
    assert not any(guard.spike(loss) for loss in falling)
    assert guard.spike(9.0)


def test_a_loss_that_jumps_is_logged_and_trained_on(tmp_path, poison):
    poison({30}, lambda loss: loss * 1000)
    _, run = train(tmp_path / "run", [*TINY, "trainer.epochs=9", "trainer.clip_grad=1"])
    text = (run.path / "train.log").read_text()
    assert "warning: the loss jumped to" in text and "at step 30, far above what it was before" in text
    assert text.count("the loss jumped") == 1 and rows(run)[-1]["step"] == 36


def test_what_fails_on_bad_numbers_is_explained_without_asking_other_ranks(monkeypatch):
    def asked(value):
        raise AssertionError("they may be elsewhere, and never answer")

    monkeypatch.setattr("ssl_cli.training.guard.max_over_ranks", asked)
    module = torch.nn.Linear(1, 1)
    guard = Guard(module, False, None, torch.device("cpu"))

    def step(loss):
        module(torch.ones(1, 1)).sum().backward()
        assert guard.accepts(torch.tensor(loss))

    class Done:
        step = 7

    step(1.0)
    with pytest.raises(ZeroDivisionError), guard.explaining(Done, lambda: "kept"):
        raise ZeroDivisionError
    step(math.nan)
    step(math.nan)
    with (
        pytest.raises(RunError, match="the loss became nan at step 6; kept; likely"),
        guard.explaining(Done, lambda: "kept"),
    ):
        raise ZeroDivisionError
