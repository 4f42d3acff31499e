"""What makes training quick changes nothing that is learned, and says where the time goes."""

import json
import os
import platform
import subprocess
import sys

import pytest
import torch
from experiments import train

from ssl_cli.memory import peak_memory

FAULTS = """
import resource, sys
from ssl_cli.memory import keep_freed_memory
done = keep_freed_memory() if sys.argv[1] == "keep" else None
import torch
torch.set_num_threads(1)
for step in range(30):
    if step == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    x = torch.ones(20_000_000).mul_(2).add(1)  # two blocks of 80 MB
print(done, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_freed_memory_is_used_again_instead_of_being_mapped_anew():
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "LD_PRELOAD"}

    def run(mode, **env):
        done = subprocess.run(
            [sys.executable, "-c", FAULTS, mode], env={**clean, **env}, capture_output=True, text=True
        )
        tuned, faults = done.stdout.split()
        return tuned, int(faults)

    (_, plain), (tuned, kept) = run("plain"), run("keep")
    assert tuned == "True" and kept < plain / 10
    assert run("keep", MALLOC_ARENA_MAX="2")[0] == "False"  # the user's own setting stays


def test_peak_memory_counts_what_is_held():
    before = peak_memory()
    held = torch.ones(60_000_000)
    assert peak_memory() >= 240e6 and peak_memory() >= before and len(held)


def test_the_profile_names_the_parts_and_changes_nothing(tmp_path, capsys):
    overrides = ["trainer.max_steps=12", "trainer.eval_every=2"]
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
