"""JPEG files by libjpeg-turbo alone: the same pixels and facts as by Pillow, for every kind of file that it takes."""

import io

import numpy as np
import pytest
from PIL import Image

from ssl_cli.data.images.files import pool, storage, turbo
from ssl_cli.data.images.files.decode import BrokenImage, decode

RANDOM = np.random.default_rng(0)
QUICK = {  # name -> mode, width and height, how it is saved
    "colour": ("RGB", (32, 32), {}),
    "grey": ("L", (32, 32), {}),
    "odd sides": ("RGB", (45, 33), {"quality": 50}),
    "upright format": ("RGB", (40, 61), {"subsampling": 1}),
    "4:4:4, progressive": ("RGB", (60, 47), {"subsampling": 0, "progressive": True}),
    "very long": ("RGB", (640, 32), {}),
    "smaller": ("RGB", (17, 20), {"optimize": True}),
    "a comment and a profile": ("RGB", (32, 32), {"comment": b"by hand", "icc_profile": b"x" * 100}),
}
LEFT = {
    "turned": ("RGB", (32, 40), {"exif": Image.Exif()}),
    "for print": ("CMYK", (32, 32), {}),
    "large": ("RGB", (200, 180), {}),
}
LEFT["turned"][2]["exif"][274] = 6


def saved(file, mode, shape, how):
    """Save an image with soft and sharp places, which all ways of decoding must agree on."""
    width, height = shape
    waves = np.sin(np.arange(width) / 5)[None, :, None] + np.cos(np.arange(height) / 3)[:, None, None]
    pixels = (waves * 50 + 128 + RANDOM.normal(0, 25, (height, width, 4))).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if mode == "L" else pixels[..., :3])
    image = Image.fromarray(pixels, "CMYK") if mode == "CMYK" else image
    image.save(file, "JPEG", **how)
    return str(file)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("name", [*QUICK, *LEFT])
def test_pixels_and_facts_are_pillow_s(tmp_path, monkeypatch, name, whole):
    file = saved(tmp_path / "a.jpg", *(QUICK | LEFT)[name])
    channels = 1 if name == "grey" else 3
    assert (turbo.pixels(file, channels, 32) is not None) == (name in QUICK)
    found, seen = decode(file, 32, channels, whole=whole)
    monkeypatch.setattr(turbo, "_library", lambda: None)
    expected, facts = decode(file, 32, channels, whole=whole)
    assert np.array_equal(found, expected) and found.dtype == np.uint8 and seen == facts


def test_other_channels_and_other_files_are_left_to_pillow(tmp_path):
    grey, colour = saved(tmp_path / "g.jpg", *QUICK["grey"]), saved(tmp_path / "c.jpg", *QUICK["colour"])
    assert turbo.pixels(grey, 3, 32) is None and turbo.pixels(colour, 1, 32) is None
    assert decode(grey, 32, 3)[0].shape == (3, 32, 32) and not decode(grey, 32, 3)[1].colour
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    assert turbo.pixels(str(tmp_path / "a.png"), 3, 32) is None and turbo.pixels(str(tmp_path), 3, 32) is None


@pytest.mark.parametrize("cut", [0, 2, 100, -200, -3])
def test_a_damaged_file_is_what_pillow_says_of_it(tmp_path, monkeypatch, cut):
    file = saved(tmp_path / "a.jpg", *QUICK["colour"])
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:cut])

    def outcome():
        try:
            return decode(file, 32, 3)[0].tobytes()
        except BrokenImage as error:
            return str(error)

    found = outcome()
    monkeypatch.setattr(turbo, "_library", lambda: None)
    assert found == outcome()


def test_few_colours_are_seen(tmp_path):
    black = io.BytesIO()
    Image.new("RGB", (32, 32), "black").save(black, "JPEG")
    (tmp_path / "a.jpg").write_bytes(black.getvalue())
    assert decode(str(tmp_path / "a.jpg"), 32, 3)[1].few
    assert not decode(saved(tmp_path / "b.jpg", *QUICK["colour"]), 32, 3)[1].few


def test_processes_decode_as_threads_do_by_the_defaults_of_a_store(tmp_path, monkeypatch):
    for i in range(3):
        saved(tmp_path / f"{i}.jpg", *QUICK["colour"])
    names = [f"{i}.jpg" for i in range(3)]
    threads = storage.store(tmp_path, names, 32, 3, cache_dir=tmp_path / "a")[0]
    monkeypatch.setattr(pool, "MANY", 1)
    assert np.array_equal(storage.store(tmp_path, names, 32, 3, cache_dir=tmp_path / "b")[0], threads)
