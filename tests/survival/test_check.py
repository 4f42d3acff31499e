"""``ssl check``: what is wrong with a run is named, what is right is shown, and nothing is changed."""

import itertools
import json
import os
import shutil
import socket

import pytest
from forks import arguments
from warm import command, finish


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A working directory with a run of 6 steps, in epochs of 4."""
    cwd = tmp_path_factory.mktemp("sound")
    assert finish(command, [*arguments("moco"), "trainer.max_steps=6"], cwd) == 0, (cwd / "err").read_text()
    return cwd / "run"


@pytest.fixture
def check(sound, tmp_path):
    """Spoil a copy of the run, check it; return the exit status, the lines of the problems, and all that was said."""
    run = tmp_path / "run"
    shutil.copytree(sound, run)

    def call(spoil=lambda run: None, hook=None):
        spoil(run)
        before = {file: (file.stat().st_mtime_ns, file.is_file() and file.read_bytes()) for file in run.rglob("*")}
        status = finish(command, ["check", "run"], tmp_path, *([hook] if hook else []))
        assert {f: (f.stat().st_mtime_ns, f.is_file() and f.read_bytes()) for f in run.rglob("*")} == before
        out = (tmp_path / "out").read_text()
        return status, [line for line in out.splitlines() if "PROBLEM" in line], out

    return call


def test_a_sound_run_is_shown_to_go_on_exactly_and_is_not_touched(check):
    status, problems, out = check()
    assert status == 0 and not problems and out.splitlines()[-1] == "all is well"
    assert "the summary says: finished" in out and "metrics.jsonl: 7 rows, to step 6, none doubled" in out
    for name, step in (("last", 6), ("previous", 4), ("best", 6)):
        assert f"checkpoints/{name}.pt: step {step}, sha256 as written" in out
    assert "resumes: 2 steps from step 6, twice, are bitwise equal in" in out


def flip(run):
    file = run / "checkpoints/last.pt"
    payload = bytearray(file.read_bytes())
    payload[len(payload) // 2] ^= 1
    file.write_bytes(payload)


def double(run):
    rows = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join([*rows, rows[-2]]))


def tear(run):
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "lo')


def forget(run):
    (run / "summary.json").unlink()


def shrink(run):
    file = run / "config.yaml"
    file.write_text(file.read_text().replace("num_images: 200", "num_images: 220"))


@pytest.mark.parametrize(
    "spoil, said",
    [
        (flip, "last.pt is damaged: its sha256 is not the one in last.pt.sha256"),
        (double, "metrics.jsonl: a step is there twice, or before an earlier one"),
        (tear, "metrics.jsonl: row 8 of 8 cannot be read (resuming the run drops it)"),
        (forget, "there is none that can be read"),
        (shrink, "the data are not those of the run any more"),
    ],
)
def test_each_thing_that_is_wrong_is_named(check, spoil, said):
    status, problems, out = check(spoil)
    assert status == 1 and out.splitlines()[-1] == "1 problem", out
    assert len(problems) == 1 and said in problems[0]


def depend_on_the_run():
    """Let the loss depend on how often this process was asked."""
    from ssl_cli.methods.moco import MoCo

    forward, count = MoCo.forward, itertools.count(1)

    def changed(self, task):
        outputs = forward(self, task)
        return {**outputs, "loss": outputs["loss"] * next(count)}

    MoCo.forward = changed


def fail():
    from ssl_cli.methods.moco import MoCo

    def forward(self, task):
        raise TypeError("a bug")

    MoCo.forward = forward


def test_a_method_that_fails_is_found_out(check):
    status, problems, _ = check(hook=fail)
    assert status == 1 and "going on from step 6 fails with TypeError: a bug" in problems[0]


def test_a_method_that_does_not_go_on_exactly_is_found_out(check):
    status, problems, _ = check(hook=depend_on_the_run)
    assert status == 1 and "going on twice from step 6 gives two results: " in problems[0]


def test_a_run_that_is_in_use_is_said_to_be(check):
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": "now"}
    status, _, out = check(lambda run: (run / "lock.json").write_text(json.dumps(holder)))
    assert status == 0 and f"in use by process {os.getpid()}: what follows may change" in out


@pytest.mark.parametrize(
    "argv, said", [(["nowhere"], "nowhere"), ([], "write ssl check RUN"), (["a", "b"], "ssl check")]
)
def test_what_is_no_run_is_one_line(tmp_path, argv, said):
    assert finish(command, ["check", *argv], tmp_path) == 2
    err = (tmp_path / "err").read_text()
    assert err.startswith("error: ") and err.count("\n") == 1 and said in err
