"""Command lines and configs that are changed at random: they work, or say in one line why not; never a traceback.

The figure: pytest -n 0 -m slow tests/survival/test_mutated.py -s
"""

import contextlib
import io
import os
import shutil
import signal
import traceback
from pathlib import Path

import pytest
import torch
import yaml
from experiments import train
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import PLAN, SMALL, command_lines, mutated, torn

from ssl_cli.cli import main
from ssl_cli.config.overrides import flat
from ssl_cli.runs import checkpoint


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with a run in it, which each example finds as it was."""
    root, before = tmp_path_factory.mktemp("mutated"), Path.cwd()
    os.chdir(root)
    with contextlib.redirect_stdout(io.StringIO()):
        train(root / "whole", ["method=simclr", *SMALL, "trainer.epochs=1", "~probes.linear"])
    (root / "mine").mkdir()
    yield root
    os.chdir(before)


def status_of(argv: list[str]) -> int:
    """Run a command in this process; check that it ends in time and what it says."""
    said, complained = io.StringIO(), io.StringIO()

    def late(number, frame):
        raise AssertionError(f"ssl {argv} takes longer than a minute")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
            status = main(argv)
    finally:
        signal.alarm(0)
    error = complained.getvalue()
    assert "Traceback" not in said.getvalue() + error, f"ssl {argv}\n{said.getvalue()}{error}"
    assert status in (0, 1, 2), f"ssl {argv}: {status}"
    if status == 2:
        lines = [line for line in error.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 and error.endswith(f"{lines[0]}\n") and len(lines[0]) > 15, f"ssl {argv}\n{error}"
    if status == 1:
        assert "-m" in argv or "--multirun" in argv or argv[0] in ("check", "report"), f"ssl {argv}\n{error}"
    return status


class Tries:
    """What came of the examples; all failures are told at the end, not the first one only."""

    def __init__(self, place):
        self.place = place
        self.statuses: dict[str, list[int]] = {}
        self.failures: list[str] = []

    def begin(self) -> None:
        """Put everything back as it was."""
        for path in self.place.iterdir():
            if path.name not in ("whole", "mine"):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        shutil.copytree(self.place / "whole", self.place / "run")

    def add(self, kind: str, argv: list[str], change: object = "") -> None:
        try:
            self.statuses.setdefault(kind, []).append(status_of(argv))
        except (Exception, SystemExit) as error:
            trace = "".join(traceback.format_exception(error)[-6:])
            self.failures.append(f"{kind}: ssl {argv} {change}\n{trace[-1500:]}")

    def end(self) -> None:
        for kind, statuses in self.statuses.items():
            print(f"{kind}: {len(statuses)}, of which {statuses.count(0)} work and {statuses.count(2)} say why not")
        assert not self.failures, f"{len(self.failures)} failures\n\n" + "\n".join(self.failures)


def examples(count: int) -> settings:
    """Return the settings of hypothesis: the same examples each time."""
    return settings(
        max_examples=count, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )


def lines_of(tries: Tries, count: int) -> None:
    @examples(count)
    @given(command_lines())
    def run(line):
        tries.begin()
        tries.add("command lines", line)

    run()


def configs_of(tries: Tries, count: int) -> None:
    place = tries.place
    config = yaml.safe_load((place / "whole/config.yaml").read_text())
    state = checkpoint.load(place / "whole/checkpoints/last.pt")

    @examples(count)
    @given(mutated(config), st.sampled_from([["probe", "ckpt=last.pt", "probe=knn"], ["train", "init=last.pt", *PLAN]]))
    def in_checkpoint(config, argv):
        tries.begin()
        torch.save({**state, "config": config}, place / "last.pt")
        tries.add("configs of a checkpoint", [*argv, "trainer.threads=1"], changed(state["config"], config))

    @examples(count)
    @given(
        mutated(config),
        st.sampled_from([["train", "resume=run", "trainer.dry_run=true"], ["check", "run"], ["report", "run"]]),
    )
    def in_run(config, argv):
        tries.begin()
        (place / "run/config.yaml").write_text(yaml.safe_dump(config))
        tries.add("configs of a run", argv, changed(state["config"], config))

    @examples(count)
    @given(torn((place / "whole/config.yaml").read_text()))
    def in_file(data):
        tries.begin()
        (place / "run/config.yaml").write_bytes(data)
        tries.add("torn files", ["train", "resume=run", "trainer.dry_run=true"], data[:1500])

    in_checkpoint()
    in_run()
    in_file()


def changed(before: dict, after: dict) -> dict:
    """Return what of a config is other than before."""
    then, now = flat(before), flat(after)
    return {key: now.get(key, "gone") for key in {**then, **now} if now.get(key) != then.get(key)}


def test_changed_lines_and_configs_work_or_say_why_not(place):
    tries = Tries(place)
    lines_of(tries, 10)
    configs_of(tries, 2)
    tries.end()


@pytest.mark.slow
def test_two_thousand_work_or_say_why_not(place):
    tries = Tries(place)
    lines_of(tries, 1400)
    configs_of(tries, 200)
    tries.end()
    assert sum(map(len, tries.statuses.values())) >= 2000
