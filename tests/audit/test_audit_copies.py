"""Copies are found, and tied together; what only looks alike is not."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_cli.audit.align import enough, likeness
from ssl_cli.audit.copies import clusters, exact_groups, near_pairs

SIDE = 32
CHANGES = {
    "encoded again": lambda image: jpeg(image, 50),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "cropped at a corner": lambda image: image.crop((3, 0, SIDE, SIDE - 3)),
    "cropped at one side": lambda image: image.crop((0, 3, SIDE, SIDE)),
    "of half the size": lambda image: image.resize((SIDE // 2, SIDE // 2), Image.Resampling.BICUBIC),
    "brighter": lambda image: image.point(lambda value: 0.8 * value + 40),
    "cropped, mirrored and encoded": lambda image: jpeg(
        image.crop((1, 2, SIDE - 2, SIDE - 1)).transpose(Image.Transpose.FLIP_LEFT_RIGHT), 70
    ),
}


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    image.save(buffer := io.BytesIO(), "JPEG", quality=quality)
    return Image.open(buffer)


def scenes(count: int, seed: int) -> list[Image.Image]:
    """Return pictures with a sky that all share, and things of their own, whose colours change more slowly."""
    random = np.random.default_rng(seed)
    sky = np.linspace(220, 90, SIDE)[:, None, None] * np.array([0.8, 0.9, 1.0])
    found = []
    for _ in range(count):
        shape, colour = (random.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (8, 3))
        shape[..., 1:] = shape[..., :1]
        shape, colour = (np.asarray(Image.fromarray(x).resize((SIDE, SIDE), 3)) for x in (shape, colour))
        found.append(Image.fromarray((0.4 * sky + 0.4 * shape + 0.2 * colour).astype(np.uint8)))
    return found


def tensor(images) -> torch.Tensor:
    same = [np.asarray(image.convert("RGB").resize((SIDE, SIDE), 3)) for image in images]
    return torch.from_numpy(np.stack(same)).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize("change", CHANGES)
def test_each_kind_of_copy_is_found_and_nothing_else(change):
    originals = scenes(40, seed=0)
    copied = {40 + i: 3 * i for i in range(10)}
    images = tensor(originals + [CHANGES[change](originals[of]) for of in copied.values()])
    first, second, alike = near_pairs(images)
    assert dict(zip(second.tolist(), first.tolist(), strict=True)) == copied
    assert (alike >= 0.9).all()


def test_one_means_that_nothing_is_near():
    images = tensor(scenes(3, seed=0) * 2)
    assert len(near_pairs(images)[0]) == 3 and len(near_pairs(images, near=1.0)[0]) == 0
    assert len(near_pairs(images[:1])[0]) == 0


def test_likeness_is_that_of_the_best_fit():
    (scene,) = scenes(1, seed=1)
    moved = scene.transform((SIDE, SIDE), Image.Transform.AFFINE, (0.93, 0, 1.2, 0, 1.05, -0.8), 3)
    a, b = (tensor([image]).float() / 255 for image in (scene, moved))
    alike, unlike = likeness(a, b)
    assert alike > 0.97 and unlike < 5 / 255
    other, _ = likeness(a, tensor(scenes(1, seed=2)).float() / 255)
    assert other < 0.5
    assert likeness(a, a)[0] == pytest.approx(1, abs=1e-3)


def test_small_images_must_be_more_alike():
    assert enough(0.9, 32) == enough(0.9, 64) == pytest.approx(0.9)
    assert 0.99 < enough(0.9, 16) < 1 and enough(1.0, 16) == 1


def test_equal_pixels_are_equal_in_the_files_too():
    stored = [b"a", b"b", b"a", b"a", b"c", b"a"]
    original = [b"1", None, b"2", b"1", None, b"3"]  # three pictures that look the same once they are reduced
    groups = exact_groups(len(stored), stored.__getitem__, original.__getitem__)
    assert [group.tolist() for group in groups] == [[0, 3]]
    assert [group.tolist() for group in exact_groups(6, stored.__getitem__, lambda row: None)] == [[0, 2, 3, 5]]


def test_what_hangs_together_is_one_cluster():
    first, second = torch.tensor([0, 1, 7]), torch.tensor([1, 4, 8])
    exact, alike = [torch.tensor([4, 5, 6]), torch.tensor([2, 9])], torch.tensor([0.95, 0.91, 0.99])
    found = clusters(10, exact, first, second, alike)
    assert [(one.rows, one.exact) for one in found] == [((0, 1, 4, 5, 6), 3), ((2, 9), 2), ((7, 8), 0)]
    assert [one.likeness for one in found] == pytest.approx([0.91, 1.0, 0.99])
    assert clusters(3, [], first[:0], second[:0], torch.empty(0)) == []
