"""Two ranks: what they do about a number that is none; going on in the middle of an epoch, also by another number."""

import json

import pytest
import torch
from experiments import composed
from forks import SMALL, assert_same_end, ends
from omegaconf import OmegaConf
from warm import start

from ssl_cli.errors import RunError
from ssl_cli.runs import checkpoint


def train(rank, world, run, begun, config, bad=None, stop_after=None):
    """Begin or go on as one of ``world`` ranks, and leave behind what ended it and which images it saw.

    Args:
        rank: this one.
        world: how many there are.
        run: the run directory.
        begun: whether to go on.
        config: plain values.
        bad: the step at which rank 1 has a NaN for a loss.
        stop_after: the step after which all stop.
    """
    from ssl_cli.distributed import group
    from ssl_cli.runs.directory import ReadOnlyRunDir, RunDir
    from ssl_cli.setup.prepare import prepare
    from ssl_cli.training.loop import fit

    torch.set_num_threads(1)
    config = OmegaConf.create(config)
    if world > 1:
        store = group.meet(rank, world, f"file://{run}-store-{stop_after}")
        group.join(store, rank, world, "cpu", 60, 1)
    experiment = prepare(config)
    forward, batch, seen = experiment.method.forward, experiment.loader.batch, {}

    def spoiled(task):
        outputs = forward(task)
        return {**outputs, "loss": outputs["loss"] * (torch.nan if rank == 1 and len(seen) == bad else 1)}

    def watched(step):
        Stop.requested = step + 1 == stop_after
        read = batch(step)
        seen[step + 1] = sorted(read.indices.tolist())
        return read

    class Stop:
        requested = False

    experiment.method.forward, experiment.loader.batch = spoiled, watched
    resumed = checkpoint.newest_sound(run / "checkpoints")[1] if begun else None
    if rank == 0 and resumed is None:
        RunDir.create(run, config, chosen_by_user=True)
    group.wait_for_first()
    try:
        fit(experiment, (ReadOnlyRunDir if rank else RunDir)(run), resumed, Stop)
        said = "done"
    except RunError as error:
        said = str(error)
    run.with_name(f"{run.name}-{rank}.json").write_text(json.dumps({"said": said, "seen": seen}))


def on_ranks(world, run, *args):
    """Train on so many ranks; return what each has left behind."""
    begun = run.exists()
    processes = [start(train, rank, world, run, begun, *args) for rank in range(world)]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * world
    return [json.loads(run.with_name(f"{run.name}-{rank}.json").read_text()) for rank in range(world)]


def config_of(method, *settings):
    settings = [*SMALL, f"method={method}", "backbone.widths=[4,8]", "trainer.epochs=2", *settings]
    return OmegaConf.to_container(composed("train", settings), resolve=True)


@pytest.mark.parametrize("policy", ["stop", "skip", "rollback"])
def test_both_ranks_do_the_same_about_a_number_that_one_has_seen(tmp_path, policy):
    left = on_ranks(2, tmp_path / "run", config_of("supervised", f"trainer.on_nan={policy}"), 6)
    said = [each["said"] for each in left]
    state, rows = ends(tmp_path / "run")
    steps = [step for step, loss, _ in rows if loss is not None]
    if policy == "stop":
        assert all("at step 6; the last good checkpoint is" in text for text in said), said
        assert "the loss became nan" in said[1] and "the gradient's norm became nan" in said[0]
        assert steps == [1, 2, 3, 4, 5]
        return
    assert said == ["done", "done"]
    assert all(value.isfinite().all() for value in state.values())
    assert steps == ([1, 2, 3, 4, 5, 7, 8] if policy == "skip" else [1, 2, 3, 4, 7, 8])
    assert "at step 6" in (tmp_path / "run/train.log").read_text()


@pytest.mark.parametrize("method", ["moco", pytest.param("deepcluster", marks=pytest.mark.slow)])
def test_ranks_go_on_in_the_middle_of_an_epoch(tmp_path, method):
    size = {"moco": "method.queue_size=64", "deepcluster": "method.clusters=8"}[method]
    config = config_of(method, size)
    unbroken = on_ranks(2, tmp_path / "unbroken", config)
    before = on_ranks(2, tmp_path / "run", config, None, 6)
    assert ends(tmp_path / "run")[1][-1][0] == 6  # of 8, in epochs of 4
    after = on_ranks(2, tmp_path / "run", config)
    assert_same_end(tmp_path / "run", ends(tmp_path / "unbroken"))
    for rank in range(2):
        assert {**before[rank]["seen"], **after[rank]["seen"]} == unbroken[rank]["seen"]


def test_another_number_of_ranks_sees_the_same_images_at_each_step(tmp_path):
    config = config_of("simclr")
    (alone,) = on_ranks(1, tmp_path / "alone", config)
    two = on_ranks(2, tmp_path / "run", config, None, 3)
    (one,) = on_ranks(1, tmp_path / "run", config)
    assert list(one["seen"]) == [str(step) for step in range(4, 9)]
    for step, images in alone["seen"].items():
        assert images == (one["seen"][step] if int(step) > 3 else sorted(sum((rank["seen"][step] for rank in two), [])))
