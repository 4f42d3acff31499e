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
from omegaconf import OmegaConf

from ssl_cli import checkpoint
from ssl_cli.cli import main
from ssl_cli.resume import flat

SMALL = [
    *("dataset=shapes", "dataset.num_images=60", "dataset.storage_size=16", "dataset.channels=1"),
    *("backbone.widths=[4,8]", "trainer.threads=1", "trainer.batch_size=16"),
]
PLAN = [*SMALL, "trainer.dry_run=true"]
OF_RUN = ["trainer.threads=1"]
LINES = [
    ["train", "method=simclr", *PLAN],
    ["train", "method=moco", "method.queue_size=64", "optimizer=sgd", *PLAN],
    ["train", "method=fixmatch", "dataset.labels=4/class", *PLAN],
    ["train", "method=rotation", "augment.crop.scale=[0.5,1]", "seed=1", *PLAN],
    ["train", "resume=run", "trainer.epochs=3", "trainer.dry_run=true"],
    ["train", "init=run/checkpoints/last.pt", "method=supervised", *PLAN],
    ["train", "-m", "seed=0,1", "--config-dir=mine", *PLAN],
    ["train", "--cfg", "job", "method=byol"],
    ["probe", "ckpt=run", "probe=knn", *OF_RUN],
    ["embed", "ckpt=run", "split=test", "out=features.npz", *OF_RUN],
    ["export", "ckpt=run", "out=backbone.safetensors"],
    ["runs", "outputs", "--sort", "val_knn"],
    ["compare", "run", "run"],
    ["check", "run"],
    ["report", "run"],
    ["--version"],
]
VALUES = [
    *("", "null", "true", "0", "-1", "1", "3", "0.5", "-0.0", "1e9", "1e309", "nan", "inf", "-inf", "9" * 30, "abc"),
    *("''", "[]", "{}", "[1,", "{a:1}", "[null]", "[[1]]", "a,b", "1,2", "range(1,3)", "choice(1,2)", "${seed}"),
    *("${nothing}", "${oc.env:HOME}", "???", "?", "\\", '"', "ä", "名", "a b", "../..", "/", "%", "=", "~", "x" * 300),
    *(
        "run",
        "mine",
        "1_000",
        "0x10",
        "1e3",
        "1.",
        "2/class",
        "all",
        "10%",
        "-5%",
        "cpu",
        "cuda:7",
        "int",
        "None",
        "no",
    ),
]
OTHER = [None, 0, -1, 3, 1e9, 0.5, float("nan"), float("inf"), 10**10, "x", "", [], [1], True, {"a": 1}, {}]
TEXT = st.text(st.sampled_from("aeiou.=,[]{}$:'\"\\/@+~- 0123456789\t\nä\u202e\x1b\x00"), max_size=4)
WORDS = st.sampled_from(
    [*{word for line in LINES for word in line}, "-m", "-h", "--cfg", "--info", "--config-dir", "--", "-", "trainer=x"]
)


@st.composite
def command_lines(draw) -> list[str]:
    line = list(draw(st.sampled_from(LINES)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(line) - 1)) if line else 0
        kind = draw(st.sampled_from(["value", "value", "text", "cut", "drop", "add", "swap", "twice", "sign"]))
        if kind == "value" and line and "=" in line[at]:
            line[at] = f"{line[at].split('=')[0]}={draw(st.sampled_from(VALUES))}"
        elif kind == "text" and line:
            place = draw(st.integers(0, len(line[at])))
            line[at] = line[at][:place] + draw(TEXT) + line[at][place + draw(st.integers(0, 2)) :]
        elif kind == "cut" and line:
            line[at] = line[at][: draw(st.integers(0, len(line[at])))]
        elif kind == "drop" and line:
            del line[at]
        elif kind == "add":
            line.insert(at, draw(WORDS))
        elif kind == "swap" and line:
            other = draw(st.integers(0, len(line) - 1))
            line[at], line[other] = line[other], line[at]
        elif kind == "twice" and line:
            line.insert(at, line[at])
        elif kind == "sign" and line:
            line[at] = draw(st.sampled_from(["+", "++", "~", "-", "--"])) + line[at]
    # A plan trains nothing; a line that has lost that word, or means another directory, is none to run here.
    if line[:1] == ["train"] and "trainer.dry_run=true" not in line:
        line.append("trainer.dry_run=true")
    return line


def placed(config: object, path: tuple) -> tuple[object, object]:
    for key in path[:-1]:
        config = config[key]
    return config, path[-1]


def leaves(config, path: tuple = ()):
    """Yield the path of each node."""
    if path:
        yield path
    if isinstance(config, dict):
        for key, value in config.items():
            yield from leaves(value, (*path, key))


@st.composite
def mutated(draw, config: dict) -> dict:
    """Yield a config of which some nodes have other values, or names, or are gone."""
    config = OmegaConf.to_container(OmegaConf.create(config))
    for _ in range(draw(st.integers(1, 3))):
        paths = list(leaves(config))
        if not paths:
            break
        parent, key = placed(config, draw(st.sampled_from(paths)))
        kind = draw(st.sampled_from(["value", "value", "drop", "name", "kind"]))
        if kind == "value":
            parent[key] = draw(st.sampled_from(OTHER))
        elif kind == "drop":
            del parent[key]
        elif kind == "name":
            parent[f"{key}{draw(st.sampled_from(['x', '.', ' ', '_']))}"] = parent.pop(key)
        else:
            parent[key] = draw(st.sampled_from([str, lambda value: [value], lambda value: {"a": value}]))(parent[key])
    return config


@st.composite
def torn(draw, text: str) -> bytes:
    """Return a file that has lost or gained lines or bytes."""
    lines = text.splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(lines) - 1)) if lines else 0
        kind = draw(st.sampled_from(["drop", "twice", "cut", "text", "indent"]))
        if kind == "drop":
            lines = lines[:at] + lines[at + 1 :]
        elif kind == "twice" and lines:
            lines.insert(at, lines[at])
        elif kind == "cut":
            lines = lines[:at]
        elif kind == "text":
            lines.insert(at, draw(TEXT))
        elif lines:
            lines[at] = "  " + lines[at]
    data = bytearray("".join(lines).encode())
    for _ in range(draw(st.integers(0, 2))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


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
        if os.environ.get("SHOW"):
            print(argv, error)
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
    lines_of(tries, 24)
    configs_of(tries, 5)
    tries.end()


@pytest.mark.slow
def test_two_thousand_work_or_say_why_not(place):
    tries = Tries(place)
    lines_of(tries, 1400)
    configs_of(tries, 200)
    tries.end()
    assert sum(map(len, tries.statuses.values())) >= 2000
