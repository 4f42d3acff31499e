"""A key that nobody reads is refused, however it was added: it would be a setting that does nothing."""

import sys

import pytest

from ssl_cli.cli import main

# What is added, what the one line says.
OWN = {
    "+trainer.jit=true": "there is no setting 'trainer.jit'",
    "++trainer.epoch=1": "did you mean 'trainer.epochs'",
    "+epochs=1": "did you mean 'trainer.epochs'",
    "++sed=1": "did you mean 'seed'",
}
OTHERS = {
    "probe ckpt=x +trainer.epochs=3": "there is no setting 'trainer.epochs'",
    "probe ckpt=x +seed=1": "there is no setting 'seed'",
    "probe ckpt=x +dataset.labels=all": "dataset=OPTION",
    "embed ckpt=x +trainer.devic=cpu": "did you mean 'trainer.device'",
    "export ckpt=x +outt=a": "did you mean 'out'",
    "views +image=3": "did you mean 'images'",
}
PARTS = {
    "+dataset.foo=1": "foo",
    "+optimizer.foo=1": "foo",
    "+schedule.foo=1": "foo",
    "+method.foo=1": "foo",
    "+backbone.foo=1": "foo",
    "+probes.knn.foo=1": "foo",
    "+augment.foo=1": "foo",
    "+augment.jitter.foo=1": "augment.jitter has no key 'foo'",
    "+pretext.foo=1": "foo",
    "+launcher.foo=1": "launcher=OPTION",
    "launcher=local +launcher.foo=1": "foo",
    "+probes.foo=1": "+probe@probes.foo=OPTION",
    "+probes.foo.k=1": "+probe@probes.foo=OPTION",
    "~method._target_": "method=OPTION",
}


@pytest.fixture
def refusal(tmp_path, monkeypatch, capsys):
    """Run a command that is refused with one line, before it writes anything; return the line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ssl"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def run(*args):
        before = set(tmp_path.rglob("*"))
        status, said = main(list(args)), capsys.readouterr()
        assert status == 2 and "trained in" not in said.out
        assert said.err.startswith("error: ") and said.err.count("\n") == 1, said.err
        assert set(tmp_path.rglob("*")) == before
        return said.err

    return run


@pytest.mark.parametrize("added", OWN)
def test_of_the_program_itself(added, refusal):
    assert OWN[added] in refusal("train", added)


@pytest.mark.parametrize("line", OTHERS)
def test_of_other_commands(line, refusal):
    assert OTHERS[line] in refusal(*line.split())


@pytest.mark.parametrize("added", PARTS)
def test_of_a_plug_in(added, refusal):

    assert PARTS[added] in refusal("train", *added.split())


def test_by_a_recipe_of_the_users_own(refusal, tmp_path):
    (tmp_path / "mine/experiment").mkdir(parents=True)
    for name, setting in (("part", "trainer: {jit: true}"), ("top", "sed: 1")):
        (tmp_path / f"mine/experiment/{name}.yaml").write_text(f"# @package _global_\n{setting}\n")
    line = refusal("train", "--config-dir", "mine", "experiment=part")
    assert "experiment/part: there is no setting 'trainer.jit'" in line and "trainer has epochs" in line
    line = refusal("train", "--config-dir", "mine", "experiment=top")
    assert "experiment/top: there is no setting 'sed'; did you mean 'seed'" in line


def test_torch_is_not_waited_for(ssl):
    for args in (["train", "+trainer.jit=true"], ["probe", "ckpt=x", "+trainer.epochs=3"]):
        outcome = ssl(*args, process="light")
        assert outcome.status == 2 and "torch" not in outcome.modules
