"""``kill -9`` at random moments, half of them inside a save: going on ends in bitwise the weights of an unbroken run.

The whole figure, 20 kills of each of ten methods: pytest -m slow tests/survival/test_killed.py -s
"""

import ast
import os
import shutil
import signal
import time

import pytest
from experiments import composed
from forks import FAMILIES, SMALL, assert_same_end, ends, generator, work
from omegaconf import OmegaConf
from warm import finish, start


def unbroken(method, directory):
    """Train without a break; return the config, the state, the losses by step, and how often each write was called."""
    config = OmegaConf.to_container(composed("train", [f"method={method}", *SMALL, *FAMILIES[method]]), resolve=True)
    assert finish(work, directory / "straight", config, None, directory / "calls") == 0
    return config, *ends(directory / "straight"), ast.literal_eval((directory / "calls").read_text())


def killed_in_a_write(directory, config, calls, random, behind):
    """Let a run die just before one of the calls by which files are written, linked, renamed and flushed."""
    kind = random.choice([name for name, number in calls.items() if number])
    return finish(work, directory, config, (kind, random.randint(1, calls[kind])), None, behind)


def killed_at_a_moment(directory, config, steps, random, behind):
    """Kill a run from outside, a little after a random one of its steps."""
    process = start(work, directory, config, None, None, behind)
    metrics, after = directory / "metrics.jsonl", random.randint(0, steps - 2)
    while process.is_alive() and not (metrics.exists() and metrics.read_text().count("\n") >= after):
        time.sleep(0.001)
    time.sleep(random.uniform(0, 0.03))
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return process.exitcode


def killed_and_resumed(directory, config, state, rows, calls, number):
    """Kill a run once, let it go on to its end, and compare.

    Half of the runs die in a write, and half save on a thread beside training.
    """
    random, in_write, behind = generator(config["name"], number), number % 2 == 0, number % 4 >= 2
    steps = len([loss for _, loss, _ in rows if loss is not None])
    status = 0
    while status != -signal.SIGKILL:  # it may have been at its end already
        shutil.rmtree(directory, ignore_errors=True)
        status = (
            killed_in_a_write(directory, config, calls, random, behind)
            if in_write
            else killed_at_a_moment(directory, config, steps, random, behind)
        )
        assert status in (0, -signal.SIGKILL)
    assert finish(work, directory, config, None, None, behind) == 0
    assert_same_end(directory, (state, rows))
    assert not list(directory.rglob(".*")) and not (directory / "lock").exists()


def test_a_killed_run_goes_on_exactly(tmp_path):
    straight = unbroken("moco", tmp_path)
    for number in (0, 3):  # in a write, and at a moment while another thread saves
        killed_and_resumed(tmp_path / f"killed-{number}", *straight, number)


@pytest.mark.slow
@pytest.mark.parametrize("method", FAMILIES)
def test_twenty_kills_of_each_family(method, tmp_path):
    straight = unbroken(method, tmp_path)
    for number in range(20):
        killed_and_resumed(tmp_path / f"killed-{number}", *straight, number)
    print(f"\n{method}: 20 of 20 killed runs end bitwise like the unbroken one; 10 of them died in a write")
