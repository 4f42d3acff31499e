"""Going on from every step is bitwise what an unbroken run does, for the methods that keep the most beside weights.

The whole figure, each of 40 steps of eight methods: pytest -m slow tests/survival/test_resume.py -n 0 -s
All others in conf/method go on from the middle of an epoch.
"""

import shutil

import pytest
from experiments import METHODS as EVERY
from experiments import composed, small, train
from forks import SMALL, arguments, assert_same_end, ends
from warm import command, finish

from ssl_cli.runs import checkpoint
from ssl_cli.runs.directory import RunDir
from ssl_cli.setup.prepare import prepare
from ssl_cli.training.loop import fit

CONVNET = "backbone.widths=[4,8]"
FEW = [CONVNET, "dataset.labels=4/class"]
METHODS = {  # what each keeps: set so that all of it is at work within a few epochs of 4 steps
    "moco": [CONVNET, "method.queue_size=64"],  # queue and its pointer, average
    "nnclr": [CONVNET, "method.queue_size=64"],  # queue
    "dino": [CONVNET, "method.prototypes=32", "method.freeze_epochs=1", "method.teacher_warmup=0.5"],  # centre, teacher
    "swav": [CONVNET, "method.prototypes=16", "method.freeze_epochs=1", "method.queue=64", "method.queue_epoch=1"],
    "deepcluster": [CONVNET, "method.clusters=8", "method.heads=2", "method.balanced=true"],  # bank, assignments
    "ebm": [CONVNET, "method.chains=16", "method.buffer=64", "method.steps=3"],  # replay buffer
    "flexmatch": [*FEW, "method.threshold=0.2"],  # how sure it was of each image, average
    "mean_teacher": FEW,  # teacher, ramp
}


class Stop:
    """Asks for a stop after each step, or never."""

    def __init__(self, requested):
        self.requested = requested


def go_on(config, path, stop):
    """Begin or go on in ``path`` as ``ssl train`` does, from what is on the disk alone."""
    run = RunDir(path) if path.exists() else RunDir.create(path, config, chosen_by_user=True)
    saved = any((path / "checkpoints").glob("*.pt"))
    fit(prepare(config), run, checkpoint.newest_sound(path / "checkpoints")[1] if saved else None, Stop(stop))


def stopped_after_each_step(method, steps, directory):
    """Train without a break, and with one after each step; leave the run as it was at each of them.

    Returns:
        The config, and the end of the unbroken run, which that of the other must be.
    """
    length = [f"trainer.max_steps={steps}", "trainer.eval_every=2"]
    config = composed("train", [f"method={method}", *SMALL, *METHODS[method], *length])
    go_on(config, directory / "unbroken", False)
    for step in range(1, steps + 1):
        go_on(config, directory / "stopped", True)
        shutil.copytree(directory / "stopped", directory / f"at-{step}")
    expected = ends(directory / "unbroken")
    assert_same_end(directory / "stopped", expected)
    return config, expected


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_is_stopped_after_each_step_is_one_that_never_was(method, tmp_path):
    config, expected = stopped_after_each_step(method, 6, tmp_path)
    go_on(config, tmp_path / "at-5", False)  # in the second epoch
    assert_same_end(tmp_path / "at-5", expected)


def test_views_that_grow_go_on_at_the_size_of_their_step(tmp_path):
    stages = "trainer.progressive=[8 until 3 steps,12 until 75%]"
    overrides = [*SMALL, CONVNET, stages, "trainer.max_steps=8", "trainer.eval_every=2"]
    train(tmp_path / "unbroken", overrides)
    for stop_after in (2, 3, 7):
        train(tmp_path / "stopped", overrides, stop_after=stop_after)
    train(tmp_path / "stopped", overrides)
    assert_same_end(tmp_path / "stopped", ends(tmp_path / "unbroken"))


@pytest.mark.parametrize("method", [name for name in EVERY if name not in METHODS])
@pytest.mark.parametrize("stop_after", [5, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4, 7))])
def test_every_other_method_goes_on_as_if_it_had_not_stopped(method, stop_after, tmp_path):
    length = [f"trainer.max_steps={stop_after + 2}", "trainer.eval_every=2"]
    overrides = [*SMALL, *small(method, "4/class", "[4,8]"), *length]
    train(tmp_path / "unbroken", overrides)
    train(tmp_path / "stopped", overrides, stop_after=stop_after)
    assert checkpoint.load(tmp_path / "stopped/checkpoints/last.pt")["progress"]["step"] == stop_after
    train(tmp_path / "stopped", overrides)
    assert_same_end(tmp_path / "stopped", ends(tmp_path / "unbroken"))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_from_each_of_forty_steps_to_the_end(method, tmp_path):
    config, expected = stopped_after_each_step(method, 41, tmp_path)
    for step in range(1, 41):
        go_on(config, tmp_path / f"at-{step}", False)
        assert_same_end(tmp_path / f"at-{step}", expected)
    print(f"\n{method}: going on from each of 40 steps, 40 of 40 end bitwise like the unbroken run")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A working directory with a run of 2 of its 24 steps."""
    cwd = tmp_path_factory.mktemp("stopped")
    assert finish(command, [*arguments("moco"), "trainer.max_steps=2"], cwd) == 0, (cwd / "err").read_text()
    return cwd


@pytest.fixture
def resume(stopped, tmp_path):
    """Run ``ssl train resume=run ...`` on a copy of that run; return its exit status, and what it said."""
    shutil.copytree(stopped / "run", tmp_path / "run")

    def call(*args):
        status = finish(command, ["train", "resume=run", *args], tmp_path)
        return status, (tmp_path / "out").read_text(), (tmp_path / "err").read_text()

    return call


@pytest.mark.parametrize(
    "typed, said",
    [
        (["method=byol"], ["method._target_ was ssl_cli.methods.moco.MoCo, is ssl_cli.methods.byol.BYOL"]),
        (["backbone.widths=[4,16]"], ["backbone.widths was [4, 8], is [4, 16]"]),
        (
            ["dataset=digits"],
            ["dataset._target_ was ssl_cli.data.images.shapes.load, is ssl_cli.data.images.digits.load"],
        ),
        (["seed=1", "optimizer.lr=0.5"], ["seed was 0, is 1; optimizer.lr was 0.002, is 0.5"]),
        (["trainer.batch_size=16", "trainer.epochs=9"], ["trainer.batch_size was 32, is 16"]),
        (["pretext=multi_crop"], ["pretext._target_ was"]),
        (["dataset.labels=10%"], ["dataset.labels was all, is 10%"]),
    ],
)
def test_what_would_make_the_result_neither_run_is_refused_key_by_key(resume, tmp_path, typed, said):
    before = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    status, _, err = resume(*typed)
    assert status == 2 and err.startswith("error: resume=run goes on with what the run was") and err.count("\n") == 1
    assert all(text in err for text in said), err
    assert {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()} == before


def test_what_may_change_is_shown_key_by_key_and_kept(resume, tmp_path):
    status, out, err = resume("trainer.max_steps=3", "trainer.save_every=2", "method=moco")
    assert status == 0, err
    assert "changed: trainer.max_steps was 2, is 3\nchanged: trainer.save_every was 1, is 2\n" in out
    config = RunDir(tmp_path / "run").config
    assert config.trainer.max_steps == 3 and config.trainer.save_every == 2
    assert [row[0] for row in ends(tmp_path / "run")[1]] == [1, 2, 2, 3, 3]  # with evaluations at the ends


def test_a_config_that_was_changed_by_hand_is_not_what_the_checkpoint_was_trained_with(resume, tmp_path):
    file = tmp_path / "run/config.yaml"
    file.write_text(file.read_text().replace("temperature: 0.2", "temperature: 0.3"))
    status, _, err = resume("trainer.max_steps=4")
    assert status == 2 and "config.yaml is not what last.pt was trained with" in err
    assert "method.temperature was 0.2, is 0.3; write the old values back, or start a new run" in err
