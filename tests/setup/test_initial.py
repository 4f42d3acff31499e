"""``init=RUN``: what is taken from the run, what is refused, and that frozen is frozen."""

import pytest
import torch
from experiments import composed, train

from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.errors import UserError
from ssl_cli.optim.groups import layer_decayed, param_groups
from ssl_cli.optim.optimizers import sgd
from ssl_cli.runs import checkpoint
from ssl_cli.setup.initial import initialised
from ssl_cli.setup.prepare import prepare

SHAPES = ["dataset=shapes", "dataset.num_images=140", "dataset.storage_size=16"]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A short BYOL run on the shapes, whose backbone has other widths than the default's."""
    path = tmp_path_factory.mktemp("first") / "run"
    train(path, ["method=byol", *SHAPES, "backbone.widths=[16,32]", "trainer.max_steps=2", "augment=none"])
    return path


def composed_with(first, *overrides, chosen=()):
    return initialised(composed("train", [f"init={first}", *overrides]), overrides, set(chosen))


def weights(path) -> dict:
    return checkpoint.load(path / "checkpoints/last.pt")["model"]


def test_data_backbone_and_recipe_come_from_the_run(first):
    config = composed_with(first, "method=supervised", "trainer.batch_size=32")
    assert config.dataset.num_images == 140 and list(config.backbone.widths) == [16, 32] and config.augment.flip == 0
    assert config.name == "supervised from byol" and config.init == str(first / "checkpoints/last.pt")
    experiment = prepare(config)
    for key, value in experiment.method.backbone.state_dict().items():
        assert torch.equal(value, weights(first)[f"backbone.{key}"]), key
    assert experiment.info.mean == tuple(checkpoint.load(first / "checkpoints/last.pt")["data"]["mean"])


def test_copies_that_a_method_makes_start_from_it_too(first):
    experiment = prepare(composed_with(first, "method=moco_v3", "trainer.batch_size=32"))
    state = experiment.method.state_dict()
    copies = [key for key in state if key.endswith("stem.0.weight") and not key.startswith("backbone.")]
    assert copies and all(torch.equal(state[key], weights(first)["backbone.stem.0.weight"]) for key in copies)


def test_typed_settings_of_the_data_keep_their_say_and_others_are_refused(first):
    config = composed_with(first, "method=supervised", "dataset.labels=2/class")
    assert config.dataset.labels == "2/class" and config.dataset.num_images == 140
    with pytest.raises(UserError, match="dataset.storage_sise is no setting.*dataset=NAME"):
        composed_with(first, "+dataset.storage_sise=3")


def test_another_data_set_may_be_chosen_and_then_has_its_own_statistics(first):
    typed = ("dataset=digits", "dataset.channels=3", "method=supervised")
    config = composed_with(first, *typed, chosen={"dataset"})
    assert "digits" in config.dataset._target_ and config.dataset.mean is None
    frozen = composed_with(first, *typed, "trainer.freeze_backbone=true", chosen={"dataset"})
    assert len(frozen.dataset.mean) == 3
    grey = composed_with(first, "dataset=digits", "trainer.batch_size=32", chosen={"dataset"})
    with pytest.raises(UserError, match="dataset.channels=3"):
        prepare(grey)


def test_another_backbone_is_refused(first):
    with pytest.raises(UserError, match=r"another backbone.*leave backbone out"):
        composed_with(first, "backbone.widths=[8,16]")


def trained_from(first, path, *overrides, stop_after=None):
    config = composed_with(first, *overrides)
    extra = [f"dataset.mean={list(config.dataset.mean)}", f"dataset.std={list(config.dataset.std)}"]
    node = [*SHAPES, "backbone.widths=[16,32]", f"init={config.init}", "trainer.batch_size=32", *extra]
    return train(path, [*node, *overrides, "trainer.batch_size=32"], stop_after)


def test_frozen_is_frozen_and_the_rest_learns(first, tmp_path):
    _, run = trained_from(
        first, tmp_path / "run", "method=supervised", "trainer.freeze_backbone=true", "trainer.max_steps=3"
    )
    before, after = weights(first), weights(run.path)
    for key in (key for key in after if key.startswith("backbone.")):
        assert torch.equal(before[key], after[key]), key  # running statistics of the norms included
    assert after["classifier.weight"].std() > 0
    with pytest.raises(UserError, match="write init=RUN"):
        prepare(composed("train", ["trainer.freeze_backbone=true"]))


def test_resuming_needs_the_first_run_no_more(first, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    overrides = ["method=supervised", "trainer.max_steps=6", "trainer.layer_decay=0.5"]
    _, straight = trained_from(copy, tmp_path / "straight", *overrides)
    _, stopped = trained_from(copy, tmp_path / "stopped", *overrides, stop_after=3)
    from ssl_cli.runs.directory import RunDir
    from ssl_cli.training.loop import fit

    shutil.rmtree(copy)
    run = RunDir(stopped.path)
    resumed = checkpoint.load(run.checkpoint_file())
    assert resumed["progress"]["step"] == 3

    class Never:
        requested = False

    fit(prepare(run.config, resuming=True), run, resumed, Never)
    for key, value in weights(straight.path).items():
        assert torch.equal(value, weights(stopped.path)[key]), key


def test_layer_decay_gives_each_block_its_rate():
    net = ConvNet(1, (8, 16, 32))
    head = torch.nn.Linear(32, 2)
    named = [*net.named_parameters(), *head.named_parameters()]
    optimizer = sgd(layer_decayed(param_groups(named), net.blocks(), 0.5), batch_size=256, lr=1.0)
    rate = {id(p): group["initial_lr"] for group in optimizer.param_groups for p in group["params"]}
    assert [rate[id(next(block.parameters()))] for block in (*net.blocks(), head)] == [0.125, 0.25, 0.5, 1.0]
    assert len(rate) == len(named)
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decays[id(head.bias)] == 0.0
