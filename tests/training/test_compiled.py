"""What is compiled, when, and that nothing of it is left behind; whether the results are the same: tests/gpu."""

import pytest
import torch
from experiments import composed, small, tensors, train

from ssl_cli.backbones.base import Backbone
from ssl_cli.config.check import check
from ssl_cli.errors import UserError
from ssl_cli.setup.prepare import prepare
from ssl_cli.training import compiled as module
from ssl_cli.training.compiled import PAYS, Compiled, compiled, worth_it

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    "choice, device, steps, expected",
    [("auto", CPU, PAYS, False), ("auto", CUDA, PAYS, True), ("auto", CUDA, PAYS - 1, False)]
    + [(True, CPU, 1, True), (False, CUDA, PAYS, False)],
)
def test_auto_compiles_long_runs_on_a_gpu(choice, device, steps, expected):
    assert worth_it(choice, device, steps) is expected


def test_the_forward_pass_is_compiled_and_nothing_else_sees_it(tmp_path, monkeypatch):
    calls = []

    def compile_(function, **_):
        def traced(*args, **kwargs):
            calls.append(function.__self__ if hasattr(function, "__self__") else function)
            return function(*args, **kwargs)

        return traced

    short = [*small("byol"), "trainer.max_steps=2", "trainer.eval_every=1"]
    plain, _ = train(tmp_path / "plain", short)
    monkeypatch.setattr(torch, "compile", compile_)
    e, run = train(tmp_path / "compiled", [*short, "trainer.compile=true"])
    backbones = [part for part in e.method.modules() if isinstance(part, Backbone)]
    networks = [part for part in calls if isinstance(part, Backbone)]
    assert len(backbones) == 2 and {id(part) for part in networks} == {id(part) for part in backbones}
    assert len(networks) == 2 * 2 * 2, "two steps, two networks, two views; no evaluation"
    assert not any("forward" in vars(part) for part in backbones)
    ours, theirs = tensors(e.method.state_dict()), tensors(plain.method.state_dict())
    assert ours.keys() == theirs.keys() and all(ours[key].equal(theirs[key]) for key in ours)


def test_recipes_are_fused_on_a_gpu_only_and_only_inside():
    e = prepare(composed("train", ["trainer.batch_size=64"]))
    context = Compiled(e.method, e.pretext, CUDA)
    with context:
        assert e.pretext.augment.fused is context.colours
    assert e.pretext.augment.fused is None
    with Compiled(e.method, e.pretext, CPU):
        assert e.pretext.augment.fused is None


def test_where_torch_cannot_compile(monkeypatch):
    monkeypatch.setattr(module, "trouble", lambda device: "no C compiler")
    context, said = compiled(None, None, "auto", CUDA, PAYS)
    assert said == "not compiled, since torch cannot here: no C compiler"
    with context:
        pass
    with pytest.raises(UserError, match=r"trainer.compile=true: .*no C compiler.*; write trainer.compile=false"):
        compiled(None, None, True, CUDA, 1)


def test_another_word_is_refused():
    config = composed("train", ["trainer.compile=fast"])
    with pytest.raises(UserError, match="trainer.compile=fast is not one of auto, true, false"):
        check(config, config, "train")
