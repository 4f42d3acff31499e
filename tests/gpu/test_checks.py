"""The checks and measurements that need a GPU work: here they run on the CPU, as little of them as shows it."""

from argparse import Namespace

import test_gpu
from experiments import small
from test_gpu import FP32

from benchmarks import gpu
from ssl_cli.training import loop


def test_one_step_is_taken_as_on_a_gpu(tmp_path):
    reported, gradients = test_gpu.one_step(tmp_path, "cpu", [*small("simclr"), *FP32])
    assert reported["loss"] > 0 and all(slope.isfinite().all() for slope in gradients.values())
    t = test_gpu.begun(tmp_path, "cpu", [*small("simclr"), *FP32])
    loop.train_step(t)
    assert t.state.step == 1


def test_the_step_is_measured_part_by_part():
    row = gpu.trainer_step(Namespace(tiny=True, device="cpu"), "resnet18", 4, ["dataset.storage_size=16"], None)
    assert row["seconds"] > 0 and "error" not in row
    assert set(row["parts"]) == set(loop.PARTS) and all(0 < share < 1 for share in row["parts"].values())
