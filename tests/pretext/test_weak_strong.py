import pytest
import torch
from experiments import composed

from ssl_cli.batch import Batch
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.errors import UserError
from ssl_cli.setup.parts import build_pretext

INFO = ImageInfo("tiny", 3, 16, ("a", "b"), 64, 64, 8, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


def task(images, *overrides, seed=0):
    config = composed("train", ["method=fixmatch", "dataset=shapes", *overrides])
    pretext = build_pretext(config, INFO)
    at = torch.arange(len(images))
    return pretext(Batch(images, at % 2, at), torch.Generator().manual_seed(seed))


def test_the_weak_view_is_only_shifted_and_mirrored():
    images = torch.randint(0, 256, (64, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    weak, strong = task(images, "pretext.shift=0", "augment=simclr_small").views
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (INFO.mean, INFO.std))
    plain = (images / 255 - mean) / std
    flipped = torch.isclose(weak, plain.flip(3), atol=1e-5).flatten(1).all(1)
    kept = torch.isclose(weak, plain, atol=1e-5).flatten(1).all(1)
    assert (flipped | kept).all() and 16 < flipped.sum() < 48
    changed = ~(torch.isclose(strong, plain, atol=1e-5) | torch.isclose(strong, plain.flip(3), atol=1e-5)).flatten(
        1
    ).all(1)
    assert changed.float().mean() > 0.9


def test_what_must_not_be_mirrored_is_not():
    images = torch.randint(0, 256, (64, 3, 16, 16), dtype=torch.uint8)
    weak, _ = task(images, "pretext.shift=0", "augment=digits").views
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (INFO.mean, INFO.std))
    torch.testing.assert_close(weak, (images / 255 - mean) / std, atol=1e-5, rtol=0)


def test_the_weak_view_is_the_published_one_and_older_runs_keep_theirs():
    images = torch.randint(0, 256, (16, 3, 16, 16), dtype=torch.uint8)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (INFO.mean, INFO.std))
    weak, _ = task(images, "augment=digits").views
    padded = torch.nn.functional.pad(images / 255, (2, 2, 2, 2), "reflect")
    boxes = torch.stack([padded[:, :, y : y + 16, x : x + 16] for y in range(5) for x in range(5)])
    assert ((weak == (boxes - mean) / std).flatten(2).all(2).sum(0) == 1).all()
    old, _ = task(images, "augment=digits", "pretext.weak=shift").views  # between pixels, with a black rim
    assert not torch.equal(old, weak) and not torch.isin(old, (images / 255 - mean) / std).all()
    with pytest.raises(UserError, match=r"pretext.weak=pad_crp is unknown.*did you mean 'pad_crop'"):
        task(images, "pretext.weak=pad_crp")


def test_rows_stay_and_the_generator_decides():
    images = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    first, again, other = task(images), task(images), task(images, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first.views, again.views, strict=True))
    assert not torch.equal(first.views[1], other.views[1])
    assert first.indices.tolist() == list(range(8)) and first.targets is None
    recipe = task(images, "pretext.weak=recipe", "augment=simclr_small")
    assert not torch.equal(recipe.views[0], first.views[0])
