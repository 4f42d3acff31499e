import numpy as np
import pytest
from PIL import Image

from ssl_cli.data.images.files import decode as module
from ssl_cli.data.images.files import pool
from ssl_cli.data.images.files.decode import BrokenImage, suffixes, survey


def decode(file, size, channels, reading=2):
    """The pixels of a data set of one file."""
    return module.decode(file, size, channels, pool.find_ranges([file]), reading)[0]


def _save(path, image, **options):
    image.save(path, **options)
    return str(path)


def _grey(side=8):
    return Image.fromarray(np.linspace(0, 255, side * side).reshape(side, side).astype(np.uint8))


def test_an_image_of_the_stored_size_is_unchanged(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    file = _save(tmp_path / "a.png", Image.fromarray(pixels))
    assert np.array_equal(decode(file, 8, 3), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I;16B", "I", "F"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("reading", [1, 2])
def test_every_mode_gives_the_same_picture(tmp_path, mode, channels, reading):
    """Left half black, right half white: what any mode can express."""
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:, 4:] = 255
    if mode in ("I;16", "I;16B", "I"):
        dtype = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]
        image = Image.fromarray((pixels.astype(np.int64) * 257).astype(dtype))
    elif mode == "F":
        image = Image.fromarray((pixels / 255).astype(np.float32))
    else:
        image = Image.fromarray(pixels).convert(mode)
    file = _save(tmp_path / "a.tiff", image)
    assert Image.open(file).mode == mode
    got = decode(file, 8, channels, reading).astype(int)
    assert got.shape == (channels, 8, 8)
    assert np.abs(got - pixels).max() <= 2


def test_sixteen_bit_png_keeps_its_range(tmp_path):
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    file = _save(tmp_path / "a.png", Image.fromarray(values))
    assert np.array_equal(decode(file, 8, 1)[0], np.round(values / 257))


def test_transparency_is_laid_over_white(tmp_path):
    clear = _save(tmp_path / "rgba.png", Image.new("RGBA", (8, 8), (255, 0, 0, 0)))
    half = _save(tmp_path / "half.png", Image.new("RGBA", (8, 8), (0, 0, 0, 128)))
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([0, 0, 0, 0, 255, 0])
    keyed = _save(tmp_path / "p.png", palette, transparency=0)
    assert (decode(clear, 8, 3) == 255).all()
    assert np.abs(decode(half, 8, 3).astype(int) - 127).max() <= 1
    assert (decode(keyed, 8, 3) == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("shape", [(8, 8), (8, 14), (14, 8)])
def test_exif_orientation(tmp_path, orientation, shape):
    from PIL import ImageOps

    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = _save(tmp_path / "a.png", Image.fromarray(pixels), exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    top, left = ((side - 8) // 2 for side in upright.shape)
    assert np.array_equal(decode(file, 8, 1)[0], upright[top : top + 8, left : left + 8])


def test_the_centre_square_of_a_wide_image(tmp_path):
    pixels = np.zeros((20, 60), np.uint8)
    pixels[:, 20:40] = 200
    file = _save(tmp_path / "a.png", Image.fromarray(pixels))
    assert (decode(file, 20, 1) == 200).all()
    assert decode(file, 5, 1).mean() > 190


def test_a_large_jpeg_is_close_to_its_exact_reduction(tmp_path):
    y, x = np.mgrid[:640, :640]
    pixels = (127 + 100 * np.sin(x / 60) * np.cos(y / 80)).astype(np.uint8)
    file = _save(tmp_path / "a.jpg", Image.fromarray(pixels), quality=95)
    exact = np.asarray(Image.fromarray(pixels).resize((32, 32), Image.Resampling.BOX)).astype(int)
    assert np.abs(decode(file, 32, 1)[0] - exact).max() <= 4


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    file = _save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert decode(file, 8, 3)[:, 0, 0].tolist() == [255, 0, 0]


def test_broken_files_say_why(tmp_path, monkeypatch):
    whole = tmp_path / "whole.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    _save(whole, Image.fromarray(noise))
    cases = {"empty.png": b"", "text.png": b"hello", "cut.png": whole.read_bytes()[:3000]}
    reasons = {}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BrokenImage) as error:
            decode(str(tmp_path / name), 8, 3)
        reasons[name] = str(error.value)
    assert reasons["empty.png"] == "the file is empty"
    assert reasons["text.png"].startswith("not an image")
    assert "truncated" in reasons["cut.png"]
    with pytest.raises(BrokenImage, match="No such file"):
        decode(str(tmp_path / "absent.png"), 8, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(BrokenImage, match=r"4,096 pixels, more than Pillow deems safe.*dataset\.max_pixels=4096"):
        decode(str(whole), 8, 3)


def test_survey(tmp_path):
    small = _save(tmp_path / "a.png", _grey(8))
    large = _save(tmp_path / "b.png", _grey(400))
    middle = _save(tmp_path / "c.png", _grey(40).resize((40, 90)))
    colour = _save(tmp_path / "d.png", Image.new("RGB", (40, 40)))
    (tmp_path / "e.png").write_bytes(b"")
    assert survey([small]) == (16, 1)
    assert survey([large]) == (64, 1)
    assert survey([small, middle, large]) == (40, 1)
    assert survey([small, middle, large, colour, str(tmp_path / "e.png")]) == (40, 3)


def test_suffixes():
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".bmp", ".gif"} <= suffixes()
    assert not {".pdf", ".h5", ".mpg", ".eps", ".txt", ""} & suffixes()
