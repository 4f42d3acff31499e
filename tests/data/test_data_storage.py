import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_cli.data import cache, folder, storage
from ssl_cli.errors import UserError


@pytest.fixture
def root(tmp_path):
    """150 noise images, in more than one batch."""
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (150, 8, 8, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{i:03}.png")
    return folder


@pytest.fixture
def decoded(monkeypatch):
    """The files that are decoded."""
    files = []

    def spy(path, *args):
        files.append(path)
        return original(path, *args)

    original = storage.decode
    monkeypatch.setattr(storage, "decode", spy)
    return files


def _load(root, tmp_path, **options):
    return folder.load(str(root), storage_size=8, storage_limit=0, cache_dir=str(tmp_path / "cache"), **options)


def test_mapped_equals_in_memory_and_is_decoded_once(root, tmp_path, decoded):
    memory = folder.load(str(root), storage_size=8)
    assert len(decoded) == 150
    mapped = _load(root, tmp_path)
    assert len(decoded) == 300
    again = _load(root, tmp_path)
    assert len(decoded) == 300
    assert torch.equal(memory.images, mapped.images)
    assert torch.equal(memory.images, again.images)
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == [".json", ".npy"]
    assert np.array_equal(np.load(next((tmp_path / "cache").glob("*.npy"))), memory.images)


def test_threads_keep_the_order(root, monkeypatch):
    expected = folder.load(str(root), storage_size=8).images
    monkeypatch.setattr(storage, "_workers", lambda: 8)
    monkeypatch.setattr(storage, "BATCH", 3)
    assert torch.equal(folder.load(str(root), storage_size=8).images, expected)


def test_a_changed_file_or_option_is_decoded_anew(root, tmp_path, decoded):
    _load(root, tmp_path)
    _load(root, tmp_path, channels=1)
    assert len(decoded) == 300
    os.utime(root / "000.png", ns=(1, 1))
    _load(root, tmp_path)
    assert len(decoded) == 450
    (root / "149.png").unlink()
    assert len(_load(root, tmp_path).images) == 149


def test_a_damaged_cache_is_written_again(root, tmp_path):
    expected = _load(root, tmp_path).images.clone()
    file = next((tmp_path / "cache").glob("*.npy"))
    file.write_bytes(file.read_bytes()[:1000])
    assert torch.equal(_load(root, tmp_path).images, expected)


def test_broken_files_are_named_or_skipped(root, tmp_path):
    good = folder.load(str(root), storage_size=8)
    for name in ("000.png", "070.png"):
        (root / name).write_bytes(b"")
    message = r"cannot read .*000\.png: the file is empty; write dataset\.on_error=skip"
    with pytest.raises(UserError, match=message):
        folder.load(str(root), storage_size=8)
    with pytest.raises(UserError, match=message):
        _load(root, tmp_path)
    assert not list((tmp_path / "cache").iterdir())

    memory = folder.load(str(root), storage_size=8, on_error="skip")
    kept = [i for i in range(150) if i not in (0, 70)]
    assert memory.skipped == 2
    assert torch.equal(memory.images, good.images[kept])
    assert memory.files == tuple(good.files[i] for i in kept)
    for _ in range(2):  # written, then reused
        mapped = _load(root, tmp_path, on_error="skip")
        assert mapped.skipped == 2
        assert torch.equal(mapped.images, memory.images)
        assert mapped.files == memory.files
    with pytest.raises(UserError, match=message):  # although the cache is there
        _load(root, tmp_path)


def test_nothing_but_broken_files(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(b"")
    with pytest.raises(UserError, match="none of the 2 images .* can be read; the first: the file is empty"):
        folder.load(str(tmp_path), on_error="skip")


def test_a_disk_that_is_too_small(root, tmp_path, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"needs 0\.00 GB: only 0\.00 GB are free; write dataset\.cache_dir=DIR"):
        _load(root, tmp_path)


def test_a_cache_directory_that_cannot_be(root, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match="cannot write the image cache to"):
        _load(root, tmp_path)
