"""Crops cut out of photos of unlike shapes, against torchvision's of each photo."""

import photo_folder
import pytest
import torch
from experiments import CONF, composed
from omegaconf import OmegaConf
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms.v2 import functional as F2

from ssl_cli.augment import augment as module
from ssl_cli.augment import boxes as cutting
from ssl_cli.augment import draw
from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.setup.parts import build_pretext

SIZES = [(16, 24), (40, 16), (16, 16), (16, 200), (21, 16)] * 16
ZERO, ONE = (0.0,) * 3, (1.0,) * 3


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def drawn(monkeypatch):
    """The boxes that are drawn."""
    found = []

    def spy(*args):
        found.append(original(*args))
        return found[-1]

    original = draw.crop_boxes
    monkeypatch.setattr(module.draw, "crop_boxes", spy)
    return found


@pytest.mark.parametrize("how", [cutting.one_by_one, cutting.alike_together])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_crop_is_torchvisions_of_the_whole_photo_with_the_same_box(drawn, monkeypatch, how, interpolation):
    monkeypatch.setattr(module, "crop_resize_each", how)
    photos = photo_folder.photos(SIZES)
    augment = Augment(crop={"scale": [0.08, 1.0], "interpolation": interpolation})
    views = augment(photos, ZERO, ONE, seeded(), views=2, size=18)
    mode = InterpolationMode(interpolation)
    (boxes,) = drawn
    assert len(boxes) == 160
    for i, (view, box) in enumerate(zip(torch.cat(views), boxes.long().tolist(), strict=True)):
        expected = F2.resized_crop(photos[i % 80] / 255, *box, [18, 18], mode, antialias=True).clamp(0, 1)
        torch.testing.assert_close(view, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("how", [cutting.one_by_one, cutting.alike_together])
def test_flips_turn_only_the_chosen_rows(how):
    photos = photo_folder.photos(SIZES[:4])
    boxes = torch.tensor([[2.0, 3, 12, 9]] * 4)
    plain = how(photos, boxes, (8, 8), *torch.zeros(2, 4, dtype=torch.bool), False)
    chosen = torch.tensor([[True, False, True, False], [True, True, False, False]])
    turned = how(photos, boxes, (8, 8), *chosen, False)
    expected = [plain[0].flip(1, 2), plain[1].flip(1), plain[2].flip(2), plain[3]]
    torch.testing.assert_close(turned, torch.stack(expected), atol=1e-6, rtol=0)


def test_boxes_of_each_shape_have_torchvisions_distribution():
    shapes, each = [(24, 48), (48, 24), (10, 50)], 4000
    heights, widths = torch.tensor(shapes).T.repeat(1, each)
    scale, ratio = (0.08, 1.0), (3 / 4, 4 / 3)
    ours = draw.crop_boxes(3 * each, heights, widths, scale, ratio, seeded())
    torch.manual_seed(0)
    for k, (height, width) in enumerate(shapes):
        image = torch.empty(1, height, width)
        theirs = torch.tensor([RandomResizedCrop.get_params(image, scale, ratio) for _ in range(2000)]).float()
        error = theirs.std(0) / 2000**0.5 + 1e-3
        assert ((ours[k::3].mean(0) - theirs.mean(0)).abs() <= 4 * error).all()
        assert ((ours[k::3].std(0) - theirs.std(0)).abs() <= 4 * error).all()
    one = draw.crop_boxes(50, 24, 48, scale, ratio, seeded(3))
    same = draw.crop_boxes(50, torch.full((50,), 24), torch.full((50,), 48), scale, ratio, seeded(3))
    assert torch.equal(one, same)


def test_all_of_a_wide_photo_is_seen(drawn):
    photos = photo_folder.photos([(16, 60)] * 400)
    Augment(crop={"scale": [0.08, 1.0]})(photos, ZERO, ONE, seeded())
    _, left, _, width = drawn[0].unbind(1)
    assert left.min() == 0 and (left + width).max() == 60 and (left + width < 22).any() and (left > 38).any()


def test_what_is_no_crop_is_the_centre_square():
    photos = photo_folder.photos(SIZES[:20])
    squares = photos.squares()
    assert squares.shape == (20, 3, 16, 16) and torch.equal(squares[1], photos[1][:, 12:28])
    never, rarely = Augment(), Augment(crop={"p": 1e-9})
    for augment in (never, rarely):
        (view,) = augment(photos, ZERO, ONE, seeded())
        torch.testing.assert_close(view, squares / 255)
    moving = Augment(affine={"translate": 0.2}, pad_crop={}, crop={"p": 0.5}, flip=0.5)
    for one, other in zip(*(moving(x, ZERO, ONE, seeded(), views=2, size=12) for x in (photos, squares)), strict=True):
        assert torch.equal(one, other)
    assert [x.cuts_photos for x in (never, rarely, moving)] == [False, True, False]


def test_the_rest_of_a_recipe_draws_as_for_squares():
    photos = photo_folder.photos([(16, 16)] * 30)
    augment = Augment(crop={}, flip=0.5, jitter={"brightness": 0.4, "hue": 0.1, "p": 0.8}, blur={"p": 0.5}, grey=0.2)
    whole, square = (augment(x, ZERO, ONE, seeded(), views=2) for x in (photos, photos.squares()))
    for one, other in zip(whole, square, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=0)


PRETEXTS = sorted(
    file.stem
    for file in (CONF / "pretext").glob("[!_]*.yaml")
    if "image" in OmegaConf.load(file).get("_kinds_", ["image"])
)


@pytest.mark.parametrize("name", PRETEXTS)
def test_every_pretext_takes_photos(name):
    config = composed("train", [f"pretext={name}", "dataset=shapes", "augment=byol", "method=predict"])
    info = ImageInfo("x", 3, 32, (), 20, 20, 0, (0.5,) * 3, (0.2,) * 3, stored_size=16, keep_aspect=True)
    pretext = build_pretext(config, info)
    at = torch.arange(20)
    task = pretext(Batch(photo_folder.photos(SIZES[:20]), at % 2, at), seeded())
    assert len(task.indices) % 20 == 0 and all(view.isfinite().all() for view in task.views)
    size = pretext.target.size if pretext.target and pretext.target.size else 32
    assert task.views[0].shape[1:] == (3, size, size)
    assert all(image.min() >= 0 and image.max() <= 1 for image in pretext.shown(task).values())
