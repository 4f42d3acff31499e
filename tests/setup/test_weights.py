"""``backbone.weights``: what comes with weights of others, what typed values change, and a run of its own."""

import json

import pytest
import torch
from experiments import SMALL, composed
from safetensors import safe_open

from ssl_cli.backbones.foreign.origin import Origin
from ssl_cli.commands import export
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.errors import UserError
from ssl_cli.runs.directory import RunDir
from ssl_cli.setup.plan import plan
from ssl_cli.setup.prepare import prepare
from ssl_cli.setup.restore import open_checkpoint, rebuild
from ssl_cli.setup.weights import with_belongings
from ssl_cli.training import loop

SHAPES = ["dataset=shapes", "dataset.num_images=70", "trainer.batch_size=16", "trainer.max_steps=1"]


class Never:
    requested = False


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A directory with weights of a small network, as timm publishes them, not for commercial use."""
    import timm  # takes longer than most tests

    torch.manual_seed(1)
    path, net = tmp_path_factory.mktemp("foreign"), timm.create_model("test_resnet", num_classes=0)
    torch.save(net.state_dict(), path / "pytorch_model.bin")
    stated = {"license": "cc-by-nc-4.0", "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "input_size": [3, 48, 48]}
    (path / "config.json").write_text(json.dumps({"architecture": "test_resnet", "pretrained_cfg": stated}))
    return path


def completed(foreign, *typed, by_experiment=False):
    chosen = ["backbone=timm", "backbone.name=test_resnet", f"backbone.weights={foreign}", *typed]
    return with_belongings(composed("train", [*SMALL, *SHAPES, *chosen]), chosen, by_experiment)


def test_mean_std_and_size_come_with_the_weights(foreign):
    config = completed(foreign)
    assert list(config.dataset.mean) == [0.1, 0.2, 0.3] and config.dataset.storage_size == 48
    e = prepare(config)
    assert (e.info.mean, e.info.std, e.info.image_size) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 48)
    lines = dict(plan(e, "somewhere"))
    state = e.method.backbone.net.state_dict()
    weights = [name for name in state if not name.endswith("num_batches_tracked")]
    assert 0 < len(weights) < len(state) and lines["weights"] == f"{len(weights)} tensors of {foreign}"
    assert lines["their licence"].startswith("cc-by-nc-4.0: NOT for commercial use")
    assert lines["trained with"] == "mean [0.1, 0.2, 0.3], std [0.4, 0.5, 0.6], images of 48 pixels"


def test_typed_values_win_and_the_plan_says_so(foreign):
    typed = ["dataset.mean=[0.5,0.5,0.5]", "dataset.storage_size=32"]
    config = completed(foreign, *typed)
    assert list(config.dataset.mean) == [0.5] * 3 and list(config.dataset.std) == [0.4, 0.5, 0.6]
    said = dict(plan(prepare(config), "somewhere"))["trained with"]
    assert said == "mean [0.1, 0.2, 0.3], NOT 0.5 as here, std [0.4, 0.5, 0.6], images of 48 pixels, here of 32"


def test_what_an_experiment_sets_stays(foreign):
    config = completed(foreign, by_experiment=True)
    assert config.dataset.storage_size == 32 and list(config.dataset.mean) == [0.1, 0.2, 0.3]


def test_grey_images_are_normalised_by_the_mean_over_colours(foreign):
    e = prepare(completed(foreign, "dataset.channels=1"))
    assert e.info.mean == pytest.approx((0.2,)) and e.info.std == pytest.approx((0.5,))
    assert "NOT" not in dict(plan(e, "somewhere"))["trained with"]


def test_weights_of_another_run_leave_the_data_alone():
    config = composed("train", [*SMALL, *SHAPES])
    assert with_belongings(config, [], False) is config


def test_a_run_holds_its_tensors_and_what_is_known_of_them(foreign, tmp_path, capsys):
    weights = tmp_path / "weights"
    weights.mkdir()
    for file in foreign.iterdir():
        (weights / file.name).write_bytes(file.read_bytes())
    config = completed(weights, "method=moco_v3")
    e, run = prepare(config), RunDir.create(tmp_path / "run", config, chosen_by_user=True)
    loop.fit(e, run, None, Never)
    for file in weights.iterdir():
        file.unlink()
    rebuilt = rebuild(run.checkpoint_file())
    for key, value in e.method.state_dict().items():
        assert torch.equal(value, rebuilt.method.state_dict()[key]), key
    assert rebuilt.method.backbone.origin == e.method.backbone.origin
    assert prepare(run.config, resuming=True).method.backbone.origin is None  # it comes with the checkpoint
    opened = open_checkpoint(run.checkpoint_file(), composed("probe", ["ckpt=unused", "probe=knn"]))
    assert opened.info.mean == (0.1, 0.2, 0.3)
    out = tmp_path / "net.safetensors"
    assert export.run(composed("export", [f"ckpt={run.path}", f"out={out}"])) == 0
    assert "not for commercial use: cc-by-nc-4.0" in capsys.readouterr().out
    with safe_open(out, "pt") as file:
        about = file.metadata()
    assert about["licence"] == "cc-by-nc-4.0" and json.loads(about["weights"])["non_commercial"] is True
    with pytest.raises(UserError, match="is a directory without model.safetensors"):
        prepare(config)


@pytest.mark.parametrize(
    "values", [None, 3, {"weights": 3}, {"weights": "w", "mean": "x", "left": [[1]], "size": "big"}]
)
def test_what_a_stranger_says_of_weights_is_only_shown(values):
    origin = Origin.from_dict(values)
    info = ImageInfo("toy", 3, 8, (), 8, 4, 0, (0.5,) * 3, (0.2,) * 3)
    assert origin is None or all(isinstance(text, str) for line in origin.lines(info) for text in line)


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("apache-2.0", True),
        ("cc-by-4.0", True),
        (None, True),
        ("cc-by-nc-sa-4.0", False),
        ("fair-noncommercial", False),
    ],
)
def test_licences_that_forbid_commercial_use_are_told_apart(licence, free):
    assert Origin("w", licence=licence).non_commercial is not free
