"""Training on photos that are stored whole."""

import photo_folder
import pytest
import torch
from experiments import composed, image_info, tensors, train

from ssl_cli.augment.augment import Augment
from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.data.images.base import framed
from ssl_cli.data.images.squares import Squares
from ssl_cli.errors import UserError
from ssl_cli.pretext.preview import drawn
from ssl_cli.probes.frozen.subject import FrozenModel
from ssl_cli.probes.ood import OOD
from ssl_cli.runs import checkpoint
from ssl_cli.setup.initial import initialised
from ssl_cli.setup.plan import plan
from ssl_cli.setup.prepare import prepare
from ssl_cli.training.monitor import monitor_collapse


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A folder of photos, stored at 20 pixels and seen at 16."""
    root = photo_folder.write(tmp_path_factory.mktemp("photos"), 48)
    stored = ["dataset.storage_size=20", "dataset.keep_aspect=true", "pretext.size=16"]
    return ["dataset=folder", f"dataset.root={root}", *stored, "trainer.batch_size=16", "backbone.widths=[8,16]"]


@pytest.fixture(scope="module")
def straight(settings, tmp_path_factory):
    path = tmp_path_factory.mktemp("straight")
    return train(path / "run", ["method=simclr", *settings, "trainer.max_steps=4", "trainer.eval_every=1"])


def test_a_run_resumes_bitwise(settings, straight, tmp_path):
    overrides = ["method=simclr", *settings, "trainer.max_steps=4", "trainer.eval_every=1"]
    train(tmp_path / "run", overrides, stop_after=3)
    train(tmp_path / "run", overrides)
    one, other = (tensors(checkpoint.load(p / "checkpoints/last.pt")) for p in (straight[1].path, tmp_path / "run"))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_the_plan_says_how_they_are_stored(settings):
    def stored(*overrides):
        return dict(plan(prepare(composed("train", [*settings, *overrides])), "x"))

    lines = stored("method=simclr")
    assert "3x16x16 pixels" in lines["data"]
    assert lines["stored"].startswith("whole, the shorter side 20 pixels, 0.1 MB in memory")
    weak = stored("method=fixmatch", "dataset.labels=4/class")
    assert weak["stored"].endswith("; views are of the centre squares, for they are no crops")
    square = stored("dataset.keep_aspect=false")
    assert square["stored"] == "squares of 20 pixels, 0.1 MB in memory"


def test_networks_see_squares_of_the_size_of_the_views(straight):
    e, _ = straight
    assert e.info.seen_own == 16 and e.method.backbone.training
    report = monitor_collapse(e)
    assert report["feature_std"] > 0
    (view,) = (v.shape for v in e.pretext(e.loader.batch(0), torch.Generator().manual_seed(0)).views[:1])
    assert view == (16, 3, 16, 16)


def test_a_picture_of_views_shows_all_of_each_photo(straight):
    e, _ = straight
    columns, _ = drawn(e.pretext, e.data, count=5, seed=0)
    assert [tuple(images.shape) for images in columns.values()] == [(5, 3, 16, 16)] * 3
    wide = next(i for i, file in enumerate(e.data.files) if file.endswith("002.png"))  # 45 x 18
    frame = framed(e.data, torch.tensor([wide]))[0]
    assert (frame[:, :5] == 255).all() and (frame[:, -5:] == 255).all() and not (frame[:, 5:11] == 255).all()
    assert frame[:, 5:11].float().mean() == pytest.approx(e.data.cut_from[wide].float().mean().item(), abs=6)


def test_augmented_probes_cut_their_views_from_whole_photos():
    stored = photo_folder.photos([(8, 30), (30, 8)] * 10)
    info = image_info(3, 6, (0.0,) * 3, (1.0,) * 3)
    source = FrozenModel(ConvNet(3, widths=(4,)), Squares(stored, 6), info, torch.device("cpu"), None)
    source.stored = stored
    at = torch.tensor([3, 0, 3])
    view = source.augmented(Augment(crop={}), at, torch.Generator().manual_seed(0))
    (same,) = Augment(crop={})(stored[at], (0.0,) * 3, (1.0,) * 3, torch.Generator().manual_seed(0), size=6)
    assert view.shape == (3, 3, 6, 6) and torch.equal(view, same)


def test_strangers_are_stored_as_the_photos_are(settings, straight):
    e, _ = straight
    node = composed("train", settings).dataset
    source = FrozenModel(None, e.data.images, e.info, e.device, None, e.data.stored)
    other = OOD({**node, "keep_aspect": False, "storage_size": "auto"})._load(source)
    assert other.keep_aspect and (other.stored_size, other.image_size) == (20, 16)
    digits = OOD(composed("train", ["dataset=digits"]).dataset)._load(source)
    assert digits.stored_size == 20 and digits.images.shape[1:] == (3, 16, 16)


def test_what_starts_from_a_run_sees_images_at_its_size(settings, straight):
    _, run = straight
    typed = [f"init={run.path}", "method=supervised", "trainer.batch_size=16"]
    config = initialised(composed("train", typed), typed, set())
    assert config.pretext.size == 16 and prepare(config).info.seen_own == 16
    config = initialised(composed("train", [*typed, "pretext.size=12"]), typed, set())
    assert config.pretext.size == 12


@pytest.mark.parametrize(
    "overrides",
    [
        ("method=predict", "pretext=jigsaw", "pretext.grid=6"),
        ("method=predict", "pretext=colorization", "pretext.reduction=7"),
        ("method=mae", "pretext.patch_size=7"),
        ("method=simclr", "backbone=resnet50", "pretext.size=4"),
    ],
)
def test_advice_on_the_size_names_the_setting_that_decides_it(settings, overrides):
    chosen = [item for item in settings if not item.startswith("backbone")]
    with pytest.raises(UserError, match="pretext.size") as refused:
        prepare(composed("train", [*chosen, "pretext.size=16", *overrides]))
    assert "storage_size" not in str(refused.value)
