import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_cli.data.images import folder
from ssl_cli.data.images.files import cache, pool, storage
from ssl_cli.errors import RunError, UserError


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

    original = pool.decode
    monkeypatch.setattr(pool, "decode", spy)
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
    monkeypatch.setattr(pool, "usable_cpus", lambda: 8)
    monkeypatch.setattr(pool, "BATCH", 3)
    assert torch.equal(folder.load(str(root), storage_size=8).images, expected)


@pytest.fixture
def processes(monkeypatch):
    if sys.platform != "linux":
        pytest.skip("elsewhere threads decode")
    monkeypatch.setattr(pool, "usable_cpus", lambda: 2)
    monkeypatch.setattr(pool, "MANY", 1)


def test_processes_give_what_threads_give(root, processes, monkeypatch):
    monkeypatch.setattr(pool, "MANY", 1000)
    expected = folder.load(str(root), storage_size=8, channels=1).images
    monkeypatch.setattr(pool, "MANY", 1)
    assert torch.equal(folder.load(str(root), storage_size=8, channels=1).images, expected)
    (root / "100.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"cannot read .*100\.png: the file is empty"):
        folder.load(str(root), storage_size=8)
    assert folder.load(str(root), storage_size=8, on_error="skip").skipped == 1


def test_a_killed_process_is_one_clear_error(root, processes, monkeypatch):
    monkeypatch.setattr(pool, "decode", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(RunError, match="a process that decoded images was killed"):
        folder.load(str(root), storage_size=8)


class TestKept:
    """Images that fit in memory are decoded once, too, where decoding takes long enough to be felt."""

    @pytest.fixture(autouse=True)
    def every_time_is_long(self, monkeypatch):
        monkeypatch.setattr(storage, "KEEP_FROM", 0)

    def load(self, root, tmp_path, **options):
        return folder.load(str(root), storage_size=8, cache_dir=str(tmp_path / "cache"), **options)

    def test_the_second_time_nothing_is_decoded(self, root, tmp_path, decoded):
        first, second = (self.load(root, tmp_path) for _ in range(2))
        assert len(decoded) == 150 and torch.equal(first.images, second.images)
        second.images[0] = 0  # in memory, not the file
        os.utime(root / "000.png", ns=(1, 1))
        assert torch.equal(self.load(root, tmp_path).images, first.images) and len(decoded) == 300

    def test_what_is_quickly_decoded_leaves_no_file(self, root, tmp_path, monkeypatch):
        monkeypatch.setattr(storage, "KEEP_FROM", 1000)
        self.load(root, tmp_path)
        assert not (tmp_path / "cache").exists()

    @pytest.mark.parametrize("damage", [lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b[:1000], lambda b: b""])
    def test_a_damaged_file_is_decoded_again(self, root, tmp_path, decoded, damage):
        expected = self.load(root, tmp_path).images
        file = next((tmp_path / "cache").glob("*.npy"))
        whole = file.read_bytes()
        file.write_bytes(damage(whole))
        assert torch.equal(self.load(root, tmp_path).images, expected)
        assert len(decoded) == 300 and file.read_bytes() == whole

    def test_broken_files_are_remembered(self, root, tmp_path, decoded):
        (root / "070.png").write_bytes(b"")
        first, second = (self.load(root, tmp_path, on_error="skip") for _ in range(2))
        assert first.skipped == second.skipped == 1 and first.files == second.files and len(decoded) == 150
        with pytest.raises(UserError, match=r"cannot read .*070\.png"):
            self.load(root, tmp_path)

    def test_without_a_place_for_it_the_work_goes_on(self, root, tmp_path, capsys):
        (tmp_path / "cache").write_text("a file")
        assert len(self.load(root, tmp_path).images) == 150
        assert "note: the decoded images cannot be kept in" in capsys.readouterr().err

    def test_what_a_folder_was_long_ago_is_removed(self, root, tmp_path):
        def caches():
            return {file.stem for file in (tmp_path / "cache").iterdir()}

        self.load(root, tmp_path)
        (old,) = caches()
        self.load(root, tmp_path, channels=1)  # of another shape: neither replaces the other
        os.utime(root / "000.png", ns=(1, 1))
        self.load(root, tmp_path)
        assert len(caches()) == 3 and old in caches()  # a run may be about to open it
        for file in (tmp_path / "cache").iterdir():
            os.utime(file, (1, 1))
        os.utime(root / "000.png", ns=(2, 2))
        self.load(root, tmp_path)
        assert len(caches()) == 2 and old not in caches()

    def test_two_at_once_write_the_same(self, root, tmp_path, decoded):
        with ThreadPoolExecutor(4) as pool:
            loads = [pool.submit(self.load, root, tmp_path) for _ in range(4)]
            images = [load.result().images for load in loads]
        assert all(torch.equal(other, images[0]) for other in images)
        count = len(decoded)
        assert torch.equal(self.load(root, tmp_path).images, images[0]) and len(decoded) == count
        assert len(list((tmp_path / "cache").iterdir())) == 2


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
