"""What only a GPU can show: that it computes what the CPU does, and is never waited for.

`pytest -m gpu` runs these where there is a CUDA GPU. With SSL_TEST_DEVICE=cpu they run on the CPU, which shows that the
checks themselves work.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from experiments import METHODS, composed, small, train
from torch.overrides import TorchFunctionMode

from ssl_cli.runs.directory import ReadOnlyRunDir
from ssl_cli.setup.prepare import prepare
from ssl_cli.training import loop

DEVICE = os.environ.get("SSL_TEST_DEVICE") or ("cuda" if torch.cuda.is_available() else "")
ROOT = Path(__file__).parents[2]
FP32 = ["trainer.precision=fp32", "trainer.batch_size=64", "trainer.log_every=1000"]

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not DEVICE, reason="no CUDA GPU (SSL_TEST_DEVICE=cpu runs the checks on the CPU)"),
]


class DrawsOnCpu(TorchFunctionMode):
    """Random numbers that a method draws on its device come from the CPU: each device has a generator of its own."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function in (torch.rand, torch.randn, torch.randperm) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return function(*args, **kwargs).to(device)
        return function(*args, **kwargs)


def begun(tmp_path, device: str, overrides: list[str]) -> loop.Training:
    """Return a training at its first step, in full float32."""
    e = prepare(composed("train", [*overrides, f"trainer.device={device}"]))
    return loop.begin(e, ReadOnlyRunDir(tmp_path))


def one_step(tmp_path, device: str, overrides: list[str]) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Return what a method reports of its first batch, and its gradients."""
    t = begun(tmp_path, device, overrides)
    t.e.method.start_epoch(0)
    torch.manual_seed(0)
    t.generator.manual_seed(0)
    with DrawsOnCpu(), t.compiled:
        _, outputs = loop.gradients(t, t.e.loader.batch(0))
    gradients = {name: p.grad.cpu() for name, p in t.e.method.named_parameters() if p.grad is not None}
    return {name: value.item() for name, value in outputs.items()}, gradients


@pytest.fixture(autouse=True)
def full_float32(monkeypatch):
    """Keep TF32 away: it has 10 bits of mantissa."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("method", METHODS)
def test_a_step_is_that_of_the_cpu(tmp_path, method):
    overrides = [*small(method), *FP32]
    expected, slopes = one_step(tmp_path, "cpu", overrides)
    found, gradients = one_step(tmp_path, DEVICE, overrides)
    assert found == pytest.approx(expected, rel=2e-3, abs=2e-4)
    assert gradients.keys() == slopes.keys()
    all_found, all_expected = (torch.cat([g.flatten() for g in side.values()]) for side in (gradients, slopes))
    assert (all_found - all_expected).norm() < 5e-3 * all_expected.norm()


@pytest.mark.parametrize("method", METHODS)
def test_no_step_waits_for_the_gpu(tmp_path, method):
    if DEVICE != "cuda":
        pytest.skip("a CPU is never waited for")
    t = begun(tmp_path, "cuda", [*small(method), "trainer.batch_size=64", "trainer.log_every=1000"])
    for _ in range(3):  # constants are sent, kernels are chosen
        loop.train_step(t)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            assert (t.state.step + 1) % t.e.steps_per_epoch, "an epoch's end may wait"
            loop.train_step(t)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.fixture
def same_order_of_sums(monkeypatch):
    """Ask for algorithms that sum in the same order at each call, which a GPU's fastest ones do not."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_ends_bit_for_bit_as_the_unbroken_one(tmp_path, same_order_of_sums, method):
    overrides = [*small(method), "trainer.batch_size=64", "trainer.max_steps=6", f"trainer.device={DEVICE}"]
    whole, _ = train(tmp_path / "whole", overrides)
    train(tmp_path / "broken", overrides, stop_after=3)
    again, _ = train(tmp_path / "broken", overrides)
    for (name, ours), theirs in zip(again.method.state_dict().items(), whole.method.state_dict().values(), strict=True):
        assert ours.equal(theirs), name


def test_bf16_gives_nearly_the_same_loss(tmp_path):
    overrides = [*small("simclr"), "trainer.batch_size=64"]
    exact, _ = one_step(tmp_path, DEVICE, [*overrides, "trainer.precision=fp32"])
    rounded, _ = one_step(tmp_path, DEVICE, [*overrides, "trainer.precision=bf16"])
    assert rounded["loss"] == pytest.approx(exact["loss"], rel=0.02) and rounded["loss"] != exact["loss"]


@pytest.mark.parametrize("method", ["simclr", "byol", "swav"])
def test_compiled_backbones_give_the_same_step(tmp_path, method):
    overrides = [*small(method), *FP32]
    expected, slopes = one_step(tmp_path, DEVICE, [*overrides, "trainer.compile=false"])
    found, gradients = one_step(tmp_path, DEVICE, [*overrides, "trainer.compile=true"])
    assert found == pytest.approx(expected, rel=2e-3)
    for name, slope in slopes.items():
        assert (gradients[name] - slope).norm() < 1e-2 * slope.norm() + 1e-5, name


def test_two_ranks_on_one_gpu_are_refused(tmp_path):
    if DEVICE != "cuda" or torch.cuda.device_count() > 1:
        pytest.skip("needs exactly one GPU")
    command = [sys.executable, "-m", "ssl_cli", "train", "trainer.devices=2", "trainer.device=cuda"]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "it has 1" in done.stderr and "trainer.devices=1" in done.stderr
