"""What the values of pixels mean: depth, sign, floats, orientation and transparency, by exact grey levels."""

import struct

import numpy as np
import pytest
from PIL import Image, ImageOps
from written_images import RAMP, png, save, stored, tiff

from ssl_cli.data.images.files import decode, depth, pool

DEEP = {
    "8 bits in 16": (RAMP, "<u2", 1),
    "12 bits in 16": (RAMP * 4095 / 255, "<u2", 1),
    "16 bits": (RAMP * 257, "<u2", 1),
    "16 bits, a narrow band": (RAMP + 30000, "<u2", 0),
    "int32": (RAMP * 1000 - 128000, "<i4", 1),
    "int32, 12 bits": (RAMP * 4095 / 255, "<i4", 1),
    "floats in [0, 1]": (RAMP / 255, "<f4", 1),
    "floats in [-1, 1]": (RAMP / 127.5 - 1, "<f4", 1),
    "floats barely above 1": (RAMP / 254.9, "<f4", 1),
    "floats in [0, 255]": (RAMP, "<f4", 0),
    "floats of any range": (RAMP * 7e4 - 3e5, "<f4", 1),
}


@pytest.mark.parametrize("name", DEEP)
def test_every_depth_keeps_its_grey_levels(tmp_path, name):
    values, dtype, tolerance = DEEP[name]
    (levels,) = stored(save(tmp_path / "a.tif", values, dtype))
    assert np.abs(levels[0].astype(int) - RAMP).max() <= tolerance
    assert len(np.unique(levels)) >= 250


def test_the_first_reading_stays_as_it_was(tmp_path):
    """A run that was made by it finds the pixels that it was trained on."""
    twelve = save(tmp_path / "a.tif", RAMP * 16, "<u2")
    assert np.array_equal(decode.decode(str(twelve), 16, 1, reading=1)[0][0], np.round(RAMP * 16 / 257))
    signed = save(tmp_path / "b.tif", RAMP / 127.5 - 1, "<f4")
    assert set(np.unique(decode.decode(str(signed), 16, 1, reading=1)[0])) == {0, 1}
    turned = save(tmp_path / "c.tif", RAMP, "u1", t274=6)
    once = np.rot90(RAMP, -1)
    assert np.array_equal(decode.decode(str(turned), 16, 1, reading=1)[0][0], np.rot90(once, -1))
    assert np.array_equal(decode.decode(str(turned), 16, 1)[0][0], once)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", ["u1", "<u2"])
def test_a_tiff_is_turned_once(tmp_path, orientation, dtype):
    values = np.arange(60).reshape(6, 10) * 4
    file = save(tmp_path / "a.tif", values, dtype, t274=orientation)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(values.astype("u1")).save(tmp_path / "a.png", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    top, left = ((side - 6) // 2 for side in upright.shape)
    (levels,) = stored(file, size=6)
    assert np.array_equal(levels[0], upright[top : top + 6, left : left + 6])


def test_one_range_for_all_files(tmp_path):
    """A file by itself would fill the range; in its data set it stays dark."""
    dark = save(tmp_path / "dark.tif", RAMP, "<u2")
    bright = save(tmp_path / "bright.tif", RAMP * 16, "<u2")
    assert pool.find_ranges([str(dark), str(bright)]) == {"integer": (0, 4095)}
    levels = stored(dark, bright)
    assert np.array_equal(levels[0][0], np.round(RAMP * 255 / 4095))
    assert np.array_equal(levels[1][0], np.round(RAMP * 16 * 255 / 4095))


def test_files_of_8_and_of_12_bits_mean_the_same(tmp_path):
    eight = save(tmp_path / "a.png", RAMP, "u1")
    twelve = save(tmp_path / "b.png", np.round(RAMP * 4095 / 255), "<u2")
    levels = stored(eight, twelve)
    assert np.array_equal(levels[0], levels[1]) and levels[0].mean() == 127.5


def test_a_depth_that_a_file_states(tmp_path):
    """Its brightest value is 255 of 4095; MaxSampleValue that is no depth is one file's highest, and says nothing."""
    stated = save(tmp_path / "a.tif", RAMP, "<u2", t281=4095)
    highest = save(tmp_path / "b.tif", RAMP, "<u2", t281=300)
    assert pool.find_ranges([str(stated)]) == {}
    assert np.array_equal(stored(stated)[0][0], np.round(RAMP * 255 / 4095))
    assert np.array_equal(stored(highest)[0][0], RAMP)


def test_sbit_of_png_does_not_change_the_range(tmp_path):
    """12 significant bits, scaled to all 16, as the format has it."""
    twelve = np.round(RAMP * 4095 / 255).astype(int)
    file = png(tmp_path / "a.png", (twelve << 4) | (twelve >> 8), 0, 16, sBIT=b"\x0c")
    assert np.abs(stored(file)[0][0].astype(int) - RAMP).max() == 0


def test_colours_of_16_bits_keep_what_pillow_drops(tmp_path):
    values = np.stack([RAMP, RAMP[::-1], RAMP.T], -1)
    for file in (png(tmp_path / "a.png", values * 16, 2, 16), tiff(tmp_path / "a.tif", (values * 16).astype("<u2"))):
        (levels,) = stored(file, channels=3)
        assert np.array_equal(levels, np.round(values * 16 * 255 / 4095).transpose(2, 0, 1))


def test_grey_of_16_bits_with_transparency(tmp_path):
    alpha = np.where(RAMP < 128, 65535, 0)
    file = png(tmp_path / "a.png", np.stack([RAMP * 16, alpha], -1), 4, 16)
    assert np.array_equal(stored(file)[0][0], np.where(RAMP < 128, np.round(RAMP * 16 * 255 / 2047), 255))
    assert decode.survey([str(file)]) == (16, 1)


def test_depths_that_pillow_does_not_write(tmp_path):
    whole = tiff(tmp_path / "a.tif", (RAMP * 16843009).astype("<u4")[..., None])
    assert np.array_equal(stored(whole)[0][0], RAMP)
    pairs = (RAMP.reshape(-1, 2) * 2).astype(int)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], -1)
    twelve = tiff(tmp_path / "b.tif", packed.astype("u1").reshape(16, 24, 1), t256=16, t258=12)
    assert pool.find_ranges([str(twelve)]) == {}
    assert np.array_equal(stored(twelve)[0][0], np.round(RAMP * 2 * 255 / 4095))
    signed = tiff(tmp_path / "c.tif", (RAMP - 128).astype("i1")[..., None])
    assert np.array_equal(stored(signed)[0][0], RAMP)
    (tmp_path / "d.pgm").write_bytes(b"P5 16 16 4095\n" + (RAMP * 2).astype(">u2").tobytes())
    assert np.abs(stored(tmp_path / "d.pgm")[0][0] - RAMP * 2 * 255 / 4095).max() <= 0.51


def test_values_that_are_no_numbers_are_black_or_white(tmp_path):
    values = RAMP / 255
    values[0, :3] = np.nan, np.inf, -np.inf
    (levels,) = stored(save(tmp_path / "a.tif", values, "<f4"))
    assert levels[0, 0, :4].tolist() == [0, 255, 0, 3] and np.array_equal(levels[0, 1:], RAMP[1:])


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<f4"])
def test_min_is_white(tmp_path, dtype):
    scale = {"u1": 1, "<u2": 257, "<f4": 1 / 255}[dtype]
    file = tiff(tmp_path / "a.tif", (RAMP * scale).astype(dtype)[..., None], t262=0)
    assert np.array_equal(stored(file)[0][0], 255 - RAMP)


def test_the_transparent_level_of_a_png(tmp_path):
    key = struct.pack(">H", 512)
    deep = png(tmp_path / "a.png", RAMP * 256, 0, 16, tRNS=key)  # level 2
    expected = np.where(RAMP == 2, 255, np.round(RAMP * 256 / 257))
    assert np.array_equal(stored(deep)[0][0], expected)
    colour = png(tmp_path / "b.png", np.repeat((RAMP * 256)[..., None], 3, -1), 2, 16, tRNS=key * 3)
    assert np.array_equal(stored(colour)[0][0], expected)
    two = png(tmp_path / "c.png", RAMP % 4, 0, 2, tRNS=b"\0\x01")
    assert np.array_equal(stored(two)[0][0], np.array([0, 255, 170, 255])[RAMP % 4])
    one = png(tmp_path / "d.png", RAMP % 2, 0, 1, tRNS=b"\0\0")
    assert (stored(one)[0] == 255).all()


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", "<i2", "<u4"])
@pytest.mark.parametrize("zipped", [False, True])
def test_colours_that_pillow_does_not_read(tmp_path, dtype, zipped):
    values = np.stack([RAMP, RAMP[::-1], RAMP.T], -1)
    file = tiff(tmp_path / "a.tif", (values / (255 if dtype[1] == "f" else 1)).astype(dtype), zipped)
    (levels,) = stored(file, channels=3)
    assert np.array_equal(levels, values.transpose(2, 0, 1))
    assert decode.survey([str(file)]) == (16, 3)


def test_a_whole_file_that_cannot_be_read_is_not_called_damaged(tmp_path):
    file = tiff(tmp_path / "a.tif", np.zeros((8, 8, 3), "<c8"))
    with pytest.raises(decode.BrokenImage, match="a TIFF of 3 samples a pixel of 64 bits .* not supported; save it as"):
        decode.decode(str(file), 8, 3)
    file.write_bytes(tiff(tmp_path / "b.tif", np.zeros((8, 8, 3), "<f4")).read_bytes()[:-9])
    with pytest.raises(decode.BrokenImage, match="truncated"):
        decode.decode(str(file), 8, 3, {"float": (0, 1)})


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([("integer", 0, 200), ("integer", 5, 1100)], {"integer": (0, 2047)}),
        ([("integer", 0, 0)], {"integer": (0, 255)}),
        ([("integer", -5, 100)], {"integer": (-5, 100)}),
        ([("float", 0.0, 0.9), ("integer", 0, 65535)], {"float": (0, 1), "integer": (0, 65535)}),
        ([("float", 0.0, 0.9), ("float", -0.5, 0.1)], {"float": (-1, 1)}),
        ([("float", np.inf, -np.inf)], {"float": (0, 1)}),
        ([("float", np.inf, -np.inf), ("float", 3, 9)], {"float": (3, 9)}),
        ([("float", -7, -7)], {"float": (-7, 1)}),
    ],
)
def test_ranges(found, expected):
    assert depth.ranges(found) == expected
