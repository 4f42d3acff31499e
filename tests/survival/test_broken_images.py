"""Two hundred broken files of many kinds in one folder: named, counted, skipped or refused as asked; none hangs."""

import hashlib
import io
import os
import signal
import struct
import time
import zlib

import numpy as np
import pytest
from forks import generator
from PIL import Image
from warm import start

from ssl_cli.data.images import folder
from ssl_cli.errors import UserError

SOUND = 12
NAMES = [
    "plain",
    "with space",
    "猫",
    "кот",
    "قط",
    "חתול",
    "😺",
    "new\nline",
    "<script>",
    "a'b\"c",
    "%s{0}$HOME",
    "-rf",
    "x..",
]


def encoded(format_: str, size=(40, 30)) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, format_)
    return file.getvalue()


def png(width: int, height: int, data: bytes = b"\0") -> bytes:
    def chunk(kind: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def broken_files():
    """Yield 200 pairs: a suffix, and the bytes of a file or how to make it."""
    random = generator("images")
    for format_, suffix in (
        ("PNG", "png"),
        ("JPEG", "jpg"),
        ("GIF", "gif"),
        ("BMP", "bmp"),
        ("TIFF", "tif"),
        ("WEBP", "webp"),
    ):
        whole = encoded(format_)
        for _ in range(16):  # 96: cut off
            yield suffix, whole[: random.randint(1, int(0.7 * len(whole)))]
    for i in range(40):  # 40: noise under the name of an image
        yield ("png", "jpg", "bmp", "webp")[i % 4], random.randbytes(random.randint(1, 3000))
    for i in range(12):
        yield ("png", "jpg", "gif", "tif")[i % 4], b""
    for i in range(12):  # 12: other things
        yield ("png", "jpg", "bmp", "webp")[i % 4], (b"<html>Not found</html>", b"%PDF-1.4", b"PK\x03\x04")[i % 3]
    for i in range(10):  # 10: decompression bombs, by their header
        yield "png", png(60_000 + i, 60_000)
    for i in range(10):  # 10: no pixels, or fewer than announced
        yield "png", png(0, 0) if i % 2 else png(30 + i, 30)
    for _ in range(10):
        yield "png", os.mkfifo
    for i in range(10):
        yield "jpg", (lambda path: path.symlink_to("nowhere")) if i % 2 else (lambda path: path.symlink_to(path.name))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("broken") / "images"  # a folder further down: the loop leads to nothing else
    root.mkdir()
    for i in range(SOUND):
        (root / f"sound{i}.png").write_bytes(encoded("PNG", (30 + i, 30)))
    broken = []
    for i, (suffix, content) in enumerate(broken_files()):
        path = root / f"{NAMES[i % len(NAMES)]}{i}.{suffix}"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content(path)
        broken.append(path)
    (root / "loop").symlink_to("..", target_is_directory=True)
    return root, broken


@pytest.fixture(autouse=True)
def limit():
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(600)
    yield
    signal.alarm(0)


def test_all_are_skipped_and_counted_and_the_sound_ones_kept(images):
    root, broken = images
    assert len(broken) == 200
    data = folder.load(str(root), layout="flat", storage_size=16, channels=3, on_error="skip")
    assert data.skipped == 200 and len(data.images) == SOUND
    assert all("sound" in file for file in data.files)


def test_the_first_stops_the_run_by_name_in_one_line(images):
    with pytest.raises(UserError, match=r"cannot read .*; write dataset.on_error=skip") as caught:
        folder.load(str(images[0]), layout="flat", storage_size=16, channels=3)
    assert "\n" not in str(caught.value)


def test_files_that_vanish_are_named(images, tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    (tmp_path / "b.png").write_bytes(encoded("PNG"))
    listed = folder.list_images

    def vanishing(*args):
        found = listed(*args)
        (tmp_path / "b.png").unlink()
        return found

    monkeypatch.setattr(folder, "list_images", vanishing)
    with pytest.raises(UserError, match=r"b\.png: No such file"):
        folder.load(str(tmp_path), storage_size=16, channels=3)


def test_a_changed_folder_is_not_read_from_its_old_cache(tmp_path):
    root, settings = tmp_path / "images", {"storage_size": 8, "channels": 1, "storage_limit": 0}
    root.mkdir()
    for i in range(3):
        Image.new("L", (9, 9), 10 * i).save(root / f"{i}.png")
    first = folder.load(str(root), cache_dir=str(tmp_path / "cache"), **settings)
    Image.new("L", (9, 9), 200).save(root / "1.png")
    os.utime(root / "1.png", (1, 1))
    second = folder.load(str(root), cache_dir=str(tmp_path / "cache"), **settings)
    assert first.images[:, 0, 0, 0].tolist() == [0, 10, 20] and second.images[:, 0, 0, 0].tolist() == [0, 200, 20]


def build(place, number):
    """Load the images when another process is about to, too, and leave the sum of what there is."""
    (place / f"here-{number}").touch()
    while len(list(place.glob("here-*"))) < 2:
        time.sleep(0.001)
    (place / f"sum-{number}").write_text(sum_of_images(place))


def sum_of_images(place):
    settings = {"storage_size": 32, "channels": 1, "storage_limit": 0}
    data = folder.load(str(place / "images"), cache_dir=str(place / "cache"), **settings)
    return hashlib.sha256(data.images.numpy().tobytes()).hexdigest()


def test_two_processes_that_build_one_cache_get_the_same_whole_one(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(300):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/{i:03}.png")
    both = [start(build, tmp_path, number) for number in range(2)]
    for process in both:
        process.join(300)
    assert [process.exitcode for process in both] == [0, 0]
    sums = {file.read_text() for file in tmp_path.glob("sum-*")}
    assert len(list(tmp_path.glob("sum-*"))) == 2 and sums == {sum_of_images(tmp_path)}
    cached = (file for file in (tmp_path / "cache").rglob("*") if file.is_file())
    assert sorted(file.suffix for file in cached) == [".json", ".npy"]  # no leftovers
