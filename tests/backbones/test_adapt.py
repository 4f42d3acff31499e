"""Which parameters of a backbone are trained, and that what is kept is kept to the last bit."""

import pytest
import torch
from experiments import composed, tensors, train
from torch import nn

from ssl_cli.backbones.adapt import adapt, keep_statistics, merge, parse
from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.backbones.resnet import ResNet
from ssl_cli.backbones.vit import ViT
from ssl_cli.errors import UserError
from ssl_cli.runs import checkpoint
from ssl_cli.setup.initial import initialised
from ssl_cli.setup.prepare import prepare
from ssl_cli.setup.restore import rebuild
from ssl_cli.training.worth import fell

LORA = {"rank": 4, "alpha": 8}
SHAPES = ["dataset=shapes", "dataset.num_images=140", "dataset.storage_size=16", "augment=none"]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    path = tmp_path_factory.mktemp("first") / "run"
    train(path, ["method=simclr", *SHAPES, "backbone.widths=[8,16]", "trainer.max_steps=2"])
    return path


def continued(first, *overrides):
    typed = [f"init={first}", "trainer.batch_size=32", "trainer.max_steps=3", *overrides]
    return initialised(composed("train", ["method=byol", *typed]), typed, set())


def trained(backbone) -> set[str]:
    return {name for name, p in backbone.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("how, expected", [("full", ("full", 0)), ("last:2", ("last", 2)), ("lora", ("lora", 0))])
def test_words(how, expected):
    assert parse(how) == expected


@pytest.mark.parametrize("how", ["last", "last:0", "last:-1", "lorra", "last:x"])
def test_other_words_are_refused(how):
    with pytest.raises(UserError, match=f"backbone.adapt={how} is not one of full, last:N, norms, lora"):
        parse(how)


def test_last_blocks():
    backbone = ConvNet(3, [8, 16, 32])
    adapt(backbone, "last:1")
    last = {id(p) for p in backbone.blocks()[-1].parameters()}
    assert {id(p) for p in backbone.parameters() if p.requires_grad} == last
    with pytest.raises(UserError, match=r"has 3 blocks; write last:3"):
        adapt(ConvNet(3, [8, 16, 32]), "last:4")


def test_norms_alone():
    for backbone in (ResNet(3), ViT(3)):
        adapt(backbone, "norms")
        named = dict(backbone.named_modules())
        for name in trained(backbone):
            assert isinstance(named[name.rpartition(".")[0]], (nn.BatchNorm2d, nn.LayerNorm)), name
        assert trained(backbone) and backbone.still == ()
    with pytest.raises(UserError, match="has no norms"):
        adapt(ConvNet(3, [8, 16], norm="none"), "norms")


def test_what_was_frozen_stays_frozen():
    backbone = ViT(3, depth=1, freeze_patches=True)
    adapt(backbone, "last:2")
    assert not any(name.startswith("embed.") for name in trained(backbone)) and trained(backbone)


def test_kept_norms_keep_their_statistics():
    backbone = ConvNet(3, [8, 16])
    adapt(backbone, "last:1")
    before = {name: b.clone() for name, b in backbone.named_buffers()}
    backbone.train()
    keep_statistics(backbone)
    backbone(torch.randn(8, 3, 16, 16))
    last = {id(b) for b in backbone.blocks()[-1].buffers()}
    for name, buffer in backbone.named_buffers():
        assert buffer.equal(before[name]) == (id(buffer) not in last), name


@pytest.mark.parametrize(
    "make",
    [lambda: ConvNet(3, [8, 16]), pytest.param(lambda: ResNet(3), marks=pytest.mark.slow), lambda: ViT(3, depth=2)],
    ids=["convnet", "resnet", "vit"],
)
def test_lora_begins_without_effect_and_merges_into_plain_weights(make):
    pytest.importorskip("peft")
    torch.manual_seed(0)
    backbone = make().eval()
    names, x = list(backbone.state_dict()), torch.randn(4, 3, 16, 16)
    before = backbone(x)
    adapt(backbone, "lora", LORA)
    assert backbone(x).equal(before) and all("lora_" in name for name in trained(backbone))
    with torch.no_grad():
        for name, p in backbone.named_parameters():
            if "lora_" in name:
                p.normal_(0, 0.1)
    changed = backbone(x)
    assert (changed - before).abs().max() > 1e-3
    merge(backbone)
    assert list(backbone.state_dict()) == names
    torch.testing.assert_close(backbone(x), changed, rtol=1e-4, atol=1e-4)


def test_layers_of_lora():
    pytest.importorskip("peft")
    backbone = ViT(3, depth=2)
    adapt(backbone, "lora", {**LORA, "layers": ["qkv"]})
    assert trained(backbone) and all(".qkv." in name for name in trained(backbone))
    with pytest.raises(UserError, match=r"layers=\['nothing'\]: no layer has such a name; those that fit are embed"):
        adapt(ViT(3, depth=2), "lora", {**LORA, "layers": ["nothing"]})


def test_without_peft(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs peft: pip install 'ssl-cli\[peft\]'"):
        adapt(ViT(3, depth=1), "lora", LORA)


@pytest.mark.parametrize("how", ["last:1", "norms", "lora"])
def test_a_run_trains_what_it_should_and_resumes_bit_for_bit(first, tmp_path, how, monkeypatch):
    if how == "lora":
        pytest.importorskip("peft")
    monkeypatch.setattr("experiments.composed", lambda command, overrides: continued(first, *overrides))
    overrides = [f"backbone.adapt={how}", "backbone.lora.rank=2", "trainer.log_every=1"]
    whole, run = train(tmp_path / "whole", overrides)
    train(tmp_path / "broken", overrides, stop_after=1)
    again, _ = train(tmp_path / "broken", overrides)
    ours, theirs = tensors(again.method.state_dict()), tensors(whole.method.state_dict())
    assert ours.keys() == theirs.keys() and all(ours[key].equal(theirs[key]) for key in ours)

    given = {key.removeprefix("backbone."): value for key, value in checkpoint_of(first).items()}
    now = whole.method.backbone.state_dict()
    free = trained(whole.method.backbone)
    assert any(not now[name].equal(given.get(name, torch.zeros_like(now[name]))) for name in free)
    for name, p in whole.method.backbone.named_parameters():
        if name not in free:
            assert p.equal(given[name.replace(".base_layer", "")]), name

    rebuilt = rebuild(run.checkpoint_file()).method.backbone.eval()
    assert rebuilt.state_dict().keys() == given.keys()
    x = torch.randn(4, whole.info.channels, 16, 16)
    with torch.no_grad():
        expected = whole.method.backbone.eval()(x)
    torch.testing.assert_close(rebuilt(x), expected, rtol=1e-4, atol=1e-5)


def checkpoint_of(path) -> dict:
    return {
        k: v for k, v in checkpoint.load(path / "checkpoints/last.pt")["model"].items() if k.startswith("backbone.")
    }


def test_random_weights_are_not_kept():
    with pytest.raises(UserError, match="backbone.adapt=norms would keep random weights; write init=RUN"):
        prepare(composed("train", ["backbone.adapt=norms"]))


def test_the_start_is_the_best_where_training_makes_it_worse():
    assert fell(0.9, 0.8, 400).startswith("warning: kNN on val was 90.0 % before training and is 80.0 % after it")
    assert fell(0.9, 0.89, 400) == "" and fell(-1, 0.1, 400) == "" and fell(0.5, 0.6, 400) == ""
