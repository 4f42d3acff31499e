"""What makes training quick changes nothing that is learned, and says where the time goes."""

import json
import os
import platform
import resource

import pytest
import torch
from experiments import train
from warm import finish

from ssl_cli.optim import optimizers
from ssl_cli.system import device
from ssl_cli.system.device import choose_precision
from ssl_cli.system.memory import keep_freed_memory, peak_memory


def count_faults(file, keep, env):
    """Leave in a file whether the allocator was tuned, and how often the system had to map memory."""
    os.environ.update(env)
    tuned = keep_freed_memory() if keep else None
    torch.set_num_threads(1)
    for step in range(10):
        if step == 5:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(10_000_000).mul_(2).add(1)  # two blocks of 40 MB
    file.write_text(json.dumps([tuned, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before]))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="another allocator may be at work")
def test_freed_memory_is_used_again_instead_of_being_mapped_anew(tmp_path):
    def run(keep, **env):
        assert finish(count_faults, tmp_path / "found", keep, env) == 0
        return json.loads((tmp_path / "found").read_text())

    plain, tuned = run(False)[1], [run(True) for _ in range(2)]
    assert [done for done, _ in tuned] == [True, True]
    assert min(kept for _, kept in tuned) < plain / 10  # other blocks may be taken in between, in one of them
    assert run(True, MALLOC_ARENA_MAX="2")[0] is False  # the user's own setting stays


def test_peak_memory_counts_what_is_held():
    before = peak_memory()
    held = torch.ones(60_000_000)
    assert peak_memory() >= 240e6 and peak_memory() >= before and len(held)


def test_the_profile_names_the_parts_and_changes_nothing(tmp_path, capsys):
    overrides = ["trainer.max_steps=12", "trainer.eval_every=2", "backbone.widths=[4,8]"]
    train(tmp_path / "plain", overrides)
    capsys.readouterr()
    experiment, run = train(tmp_path / "profiled", [*overrides, "trainer.profile=true"])
    printed = capsys.readouterr().out
    for part in ("data", "augment", "forward", "backward", "optimizer", "evaluation", "checkpoint", "the rest"):
        assert f"\n{part} " in printed
    events = json.loads((run.path / "plots/trace.json").read_text())["traceEvents"]
    assert {"data", "augment", "forward", "backward", "optimizer"} <= {event.get("name") for event in events}
    other = torch.load(tmp_path / "plain/checkpoints/last.pt", weights_only=True)["model"]
    for key, value in experiment.method.state_dict().items():
        assert torch.equal(value, other[key]), key


def test_a_run_says_what_it_cost(trained, summary):
    result = summary(trained[0])
    assert result["images_seen"] == result["steps"] * 256
    assert 0 < result["seconds_per_step"] * result["steps"] <= result["seconds"]
    assert 0 <= result["data_wait_share"] < 1 and result["peak_memory_mb"] > 100


@pytest.mark.parametrize("make", [optimizers.adamw, optimizers.sgd])
def test_fused_optimizers_take_the_steps_of_the_plain_ones(make, monkeypatch):
    weights = []
    for fused in (True, False):
        monkeypatch.setattr(optimizers, "_can_fuse", lambda groups, fused=fused: fused)
        generator = torch.Generator().manual_seed(0)
        params = [torch.randn(shape, generator=generator).requires_grad_() for shape in ((64, 32, 3, 3), (64,))]
        optimizer = make([{"params": params}], batch_size=256, lr=0.1, weight_decay=0.01)
        assert bool(optimizer.defaults["fused"]) is fused
        for _ in range(5):
            for p in params:
                p.grad = torch.randn(p.shape, generator=generator)
            optimizer.step()
        weights.append(params)
    for quick, plain in zip(*weights, strict=True):
        torch.testing.assert_close(quick, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(
    choose_precision("auto", torch.device("cpu")) != torch.bfloat16, reason="this processor would emulate bf16"
)
def test_bf16_learns_what_fp32_learns_within_the_noise_of_seeds(tmp_path):
    curves = {}
    for precision in ("fp32", "bf16"):
        for seed in range(3):
            overrides = [f"trainer.precision={precision}", f"seed={seed}", "trainer.epochs=20", "trainer.eval_every=20"]
            _, run = train(tmp_path / f"{precision}{seed}", overrides)
            rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
            losses = torch.tensor([row["loss"] for row in rows if "loss" in row])
            curves.setdefault(precision, []).append(losses.view(20, -1).mean(1))
    fp32, bf16 = (torch.stack(curves[precision]) for precision in ("fp32", "bf16"))
    spread = torch.maximum(fp32.std(0), bf16.std(0))
    assert ((fp32.mean(0) - bf16.mean(0)).abs() < 3 * spread + 0.01).all()


@pytest.mark.parametrize(
    ("name", "able", "said"),
    [
        ("auto", True, "bf16 autocast (this processor computes in it)"),
        ("auto", False, "fp32 (this processor has no bf16 arithmetic)"),
        ("fp32", True, "fp32 (as you set it; bf16 would be quicker here)"),
        ("bf16", False, "bf16 autocast (as you set it; this processor emulates it, which is slower)"),
    ],
)
def test_the_plan_says_why_a_precision_was_chosen(monkeypatch, name, able, said):
    monkeypatch.setattr(device, "_computes_bf16", lambda _: able)
    cpu = torch.device("cpu")
    assert device.precision_reason(name, cpu) == said
    assert ("bf16 autocast" in said) == (choose_precision(name, cpu) == torch.bfloat16)
