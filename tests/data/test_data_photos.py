"""Photos that are stored whole: their pixels, where they are kept, and the squares that are measured."""

import json

import numpy as np
import photo_folder
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F1

from ssl_cli.data.dataset import load, load_fitting
from ssl_cli.data.describe import describe
from ssl_cli.data.images import folder
from ssl_cli.data.images.base import pixel_stats
from ssl_cli.data.images.files import pool, storage
from ssl_cli.data.images.files.decode import decode
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.data.loader import Loader
from ssl_cli.errors import UserError
from ssl_cli.photos import Photos

BICUBIC = InterpolationMode.BICUBIC
NODE = {"labels": "all", "label_seed": 0, "val_fraction": 0.1, "test_fraction": 0.2, "split_seed": 0}
NODE |= {"_target_": "ssl_cli.data.images.folder.load", "mean": None, "std": None, "keep_aspect": True}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return photo_folder.write(tmp_path_factory.mktemp("photos"))


def whole(root, **options):
    return folder.load(str(root), **{"storage_size": 16, "channels": 3, "keep_aspect": True, **options})


def pixels(image) -> np.ndarray:
    return np.asarray(image).transpose(2, 0, 1).astype(int)


def test_a_photo_is_stored_as_resized_by_torchvision(root):
    data = whole(root)
    assert len(data.images) == 24 and data.images.nbytes == sum(image.numel() for image in data.images)
    for image, file in zip(data.images, data.files, strict=True):
        assert np.array_equal(image, pixels(F1.resize(Image.open(file), 16, BICUBIC)))


@pytest.mark.parametrize("size", [None, 16, 10, 20])
def test_what_is_measured_is_the_centre_square(root, size):
    data = load({**NODE, "root": str(root), "storage_size": 16, "channels": 3}, size)
    side = size or 16
    assert data.image_size == side and data.stored_size == 16 and data.images.shape == (24, 3, side, side)
    squares = data.images[torch.arange(24)]
    for i, file in enumerate(data.files):
        square = F1.center_crop(F1.resize(Image.open(file), 16, BICUBIC), 16)
        expected = pixels(square if side == 16 else F1.resize(square, side, BICUBIC))
        assert np.abs(squares[i].numpy() - expected).max() <= (0 if side == 16 else 1)
        assert torch.equal(data.images[i], squares[i])
    assert data.images[torch.arange(0)].shape == (0, 3, side, side)


@pytest.mark.parametrize("size", ["large", 0, 16.5, True])
def test_a_size_that_is_none_is_refused_before_images_are_read(size):
    with pytest.raises(UserError, match=f"pretext.size={size} is neither a number of pixels nor null"):
        load({**NODE, "root": "not there"}, size)


def test_squares_may_be_stored_larger_than_they_are_seen(root):
    node = {**NODE, "root": str(root), "storage_size": 16, "keep_aspect": False}
    stored, seen = load(node), load(node, 10)
    assert torch.equal(load(node, 16).images, stored.images) and stored.stored is None
    assert seen.image_size == 10 and torch.equal(seen.cut_from, stored.images)
    square = Image.fromarray(stored.images[3].permute(1, 2, 0).numpy())
    assert np.abs(seen.images[3].numpy() - pixels(F1.resize(square, 10, BICUBIC))).max() <= 1
    assert torch.equal(seen.seen_at(None).images, stored.images)


def test_a_turned_photo_is_stored_upright_and_a_strip_without_its_ends(tmp_path):
    turned, exif = Image.new("RGB", (40, 20)), Image.Exif()
    turned.paste((255, 0, 0), (0, 0, 10, 20))
    exif[0x0112] = 6  # turn it clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    image, _ = decode(str(tmp_path / "turned.png"), 10, 3, whole=True)
    assert image.shape == (3, 20, 10) and (image[0, :4] > 200).all() and (image[:, 8:] < 50).all()
    strip = np.arange(400, dtype=np.uint8)[None, :, None].repeat(10, 0).repeat(3, 2)
    Image.fromarray(strip).save(tmp_path / "strip.png")
    image, _ = decode(str(tmp_path / "strip.png"), 10, 3, whole=True)
    assert np.array_equal(image, strip[:, 120:280].transpose(2, 0, 1))


def test_a_large_jpeg_that_is_decoded_at_a_fraction_keeps_its_shape(tmp_path):
    for size in ((401, 300), (299, 400)):
        photo = Image.radial_gradient("L").resize(size)
        photo.save(tmp_path / "large.jpg", quality=95)
        image, _ = decode(str(tmp_path / "large.jpg"), 24, 1, whole=True)
        expected = np.asarray(F1.resize(photo, 24, BICUBIC)).astype(int)
        assert image[0].shape == expected.shape and np.abs(image[0] - expected).max() <= 3


def test_mapped_processes_and_memory_give_the_same(root, tmp_path, monkeypatch):
    plain = whole(root).images
    cached = {"storage_limit": 0, "cache_dir": str(tmp_path)}
    mapped, again = (whole(root, **cached) for _ in range(2))
    assert mapped.mapped.endswith(".npy") and "mapped from" in mapped.storage
    monkeypatch.setattr(pool, "usable_cpus", lambda: 2)
    monkeypatch.setattr(pool, "MANY", 1)
    monkeypatch.setattr(pool, "BATCH", 5)
    monkeypatch.setattr(storage, "elongation", lambda *_: 1.0)  # the guess of the space is too low
    for other in (mapped.images, again.images, whole(root).images):
        assert torch.equal(other.flat, plain.flat)
        assert torch.equal(other.heights, plain.heights) and torch.equal(other.widths, plain.widths)


def test_caches_of_squares_and_of_whole_photos_are_told_apart(root, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "KEEP_FROM", 0)
    for keep_aspect in (True, False, True, False):
        data = whole(root, keep_aspect=keep_aspect, cache_dir=str(tmp_path))
        assert isinstance(data.images, Photos) == keep_aspect and len(data.images) == 24
    assert len(list(tmp_path.glob("*.npy"))) == 2


@pytest.mark.parametrize("damage", [{"heights": [16] * 24}, {"heights": [16] * 23}, {"widths": "x"}])
@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_a_cache_whose_shapes_do_not_fit_is_written_again(root, tmp_path, monkeypatch, damage, limit):
    monkeypatch.setattr(storage, "KEEP_FROM", 0)
    options = {"cache_dir": str(tmp_path), "storage_limit": limit}
    expected = whole(root, **options).images
    (told,) = tmp_path.glob("*.json")
    told.write_text(json.dumps(json.loads(told.read_text()) | damage))
    found = whole(root, **options).images
    assert torch.equal(found.flat, expected.flat) and torch.equal(found.widths, expected.widths)


def test_broken_photos_are_left_out_in_order(tmp_path):
    root = photo_folder.write(tmp_path / "photos", 12, 1)
    expected = whole(root).images
    (root / "class0/004.png").write_bytes(b"")
    data = whole(root, on_error="skip")
    kept = [i for i in range(12) if i != 4]
    assert data.skipped == 1
    for image, i in zip(data.images, kept, strict=True):
        assert torch.equal(image, expected[i])


def test_statistics_are_of_the_centre_squares(root):
    data = load({**NODE, "root": str(root), "storage_size": 16, "channels": 3}, 10)
    train = torch.stack([data.cut_from[i : i + 1].squares()[0] for i in data.splits["train"].tolist()]).double() / 255
    mean, std = pixel_stats(data)
    assert mean == pytest.approx(train.mean((0, 2, 3)).tolist())
    assert std == pytest.approx(train.std((0, 2, 3), correction=0).tolist())


def test_facts_of_the_photos_go_through_a_checkpoint(root):
    from omegaconf import OmegaConf

    node = {**NODE, "root": str(root), "storage_size": 16, "channels": 3}
    data = load(node, 10)
    info, _ = describe(data, OmegaConf.create(node))
    assert (info.image_size, info.stored_size, info.keep_aspect, info.seen_own) == (10, 16, True, 10)
    assert ImageInfo.from_dict(info.to_dict()) == info and info.shape == data.shape
    older = {key: value for key, value in info.to_dict().items() if key not in ("stored_size", "keep_aspect")}
    assert ImageInfo.from_dict(older).seen_own is None
    for key, value in (("stored_size", 0), ("stored_size", "16"), ("keep_aspect", 1)):
        with pytest.raises(ValueError, match=f"data.{key} cannot be"):
            ImageInfo.from_dict(info.to_dict() | {key: value})


def test_other_images_are_stored_and_seen_as_the_run_s_were(root):
    info = ImageInfo("a run's", 3, 10, (), 9, 9, 0, (0.5,) * 3, (0.2,) * 3, stored_size=16, keep_aspect=True)
    node = {**NODE, "root": str(root), "storage_size": "auto", "channels": "auto", "keep_aspect": False}
    data, note = load_fitting(node, info)
    assert data.keep_aspect and (data.stored_size, data.image_size) == (16, 10)
    assert "stored whole, the shorter side at 16 pixels" in note
    shapes = {**NODE, "_target_": "ssl_cli.data.images.digits.load", "storage_size": 8, "channels": None}
    del shapes["keep_aspect"]
    data, _ = load_fitting(shapes, info)
    assert data.images.shape[1:] == (3, 10, 10) and data.stored_size == 16


def loader(images, **options) -> Loader:
    setting = {"batch_size": 6, "steps_per_epoch": 4, "seed": 0, "device": torch.device("cpu"), **options}
    return Loader(images, torch.zeros(24, dtype=torch.int64), torch.arange(24), **setting)


def test_an_epoch_has_every_photo_once_whichever_thread_reads_it(root):
    images = whole(root).images
    plain, ahead = loader(images), loader(images, ahead=True)
    seen = []
    for step in range(4):
        batch, other = plain.batch(step), ahead.batch(step)
        assert torch.equal(batch.indices, other.indices)
        assert other.images.flat.numel() == other.images.nbytes  # read by the thread, not when crops are cut
        for at, image, same in zip(batch.indices.tolist(), batch.images, other.images, strict=True):
            assert torch.equal(image, images[at]) and torch.equal(same, images[at])
        seen += batch.indices.tolist()
    assert sorted(seen) == list(range(24))


def test_two_ranks_share_a_batch_of_one(root, monkeypatch):
    images = whole(root).images
    batch = loader(images).batch(5)
    monkeypatch.setattr("ssl_cli.distributed.collectives.world_size", lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr("ssl_cli.distributed.collectives.rank", lambda rank=rank: rank)
        part = loader(images).batch(5)
        assert torch.equal(part.indices, batch.indices[rank::2])
        for image, same in zip(part.images, batch.images[rank::2], strict=True):
            assert torch.equal(image, same)


def test_a_part_of_photos_packs_only_its_own_bytes(root):
    images = whole(root).images
    part = images[torch.tensor([7, 2, 7])]
    packed = part.packed()
    assert part.flat is images.flat and packed.flat.numel() == part.nbytes < images.nbytes
    for image, same in zip(part, packed, strict=True):
        assert torch.equal(image, same)
    assert images.packed() is images and packed.packed() is packed
    assert part.to(torch.device("cpu")) is part
    assert part.to(torch.device("meta")).flat.numel() == part.nbytes
