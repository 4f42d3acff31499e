"""A number that is none on one of two ranks: both stop, leave the step out or go back, at the same step."""

import pytest
import torch
from experiments import composed
from forks import SMALL, ends, start
from omegaconf import OmegaConf

from ssl_cli.errors import RunError


def rank_of_two(rank, scratch, config, when):
    """Train as one of two ranks; on rank 1 the loss of a step is NaN, or its forward pass fails."""
    from ssl_cli import distributed
    from ssl_cli.methods.supervised import Supervised
    from ssl_cli.rundir import RunDir, Unwritten
    from ssl_cli.setup import prepare
    from ssl_cli.trainer import fit

    config = OmegaConf.create(config)
    distributed.join(distributed.meet(rank, 2, f"file://{scratch}/store"), rank, 2, "cpu", 30, 1)
    real, calls = Supervised.forward, []

    def forward(self, task):
        calls.append(1)
        outputs = real(self, task)
        return {**outputs, "loss": outputs["loss"] * (torch.nan if rank == 1 and len(calls) == when else 1)}

    Supervised.forward = forward

    class Stop:
        requested = False

    if rank == 0:
        RunDir.create(scratch / "run", config, chosen_by_user=True)
    distributed.wait_for_first()
    run = (RunDir if rank == 0 else Unwritten)(scratch / "run")
    try:
        fit(prepare(config), run, None, Stop)
        said = "done"
    except RunError as error:
        said = str(error)
    (scratch / f"said-{rank}").write_text(said)


@pytest.mark.parametrize("policy", ["stop", "skip", "rollback"])
def test_both_ranks_do_the_same_about_a_number_that_one_has_seen(tmp_path, policy):
    settings = [*SMALL, "method=supervised", "backbone.widths=[4,8]", "augment=none", "trainer.epochs=2"]
    config = composed("train", [*settings, f"trainer.on_nan={policy}"])
    config = OmegaConf.to_container(config, resolve=True)
    processes = [start(rank_of_two, rank, tmp_path, config, 6) for rank in range(2)]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    said = [(tmp_path / f"said-{rank}").read_text() for rank in range(2)]
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
    log = (tmp_path / "run/train.log").read_text()
    assert "at step 6" in log
