"""What the user reads about images as a whole, beside the images: ranges of values, few levels, pages, sizes."""

import json

import numpy as np
import pytest
from PIL import Image
from written_images import RAMP, save

from ssl_cli.data import dataset
from ssl_cli.data.images import folder
from ssl_cli.data.images.files import decode
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.errors import UserError


def load(tmp_path, **options):
    options = {"storage_size": 16, "channels": 1, "reading": 2, "layout": "flat", **options}
    return folder.load(str(tmp_path), cache_dir=str(tmp_path / ".cache"), **options)


def test_the_range_is_in_the_plan_and_can_be_set(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ssl_cli.data.images.files.storage.KEEP_FROM", 0)
    save(tmp_path / "a.png", RAMP, "u1")
    save(tmp_path / "b.png", RAMP * 16, "<u2")
    for _ in range(2):  # decoded, then read from the cache
        assert "values 0..4095 become 0..255 in 1 of 2 images" in load(tmp_path).note
    first = load(tmp_path, reading=1)  # not what the other rules have kept
    assert np.array_equal(first.images[1, 0], np.round(RAMP * 16 / 257)) and "values" not in first.note
    data = load(tmp_path, value_range=[0, 8160])
    assert "values 0..8160 become 0..255 in 1 of 2 images" in data.note
    assert np.array_equal(data.images[1, 0], np.round(RAMP / 2)) and np.array_equal(data.images[0, 0], RAMP)
    assert capsys.readouterr().err == ""
    load(tmp_path, value_range=[0, 2040])
    assert "warning: 50% of the values of 1 of 2 images are outside of 0..2040; write" in capsys.readouterr().err


def test_of_several_ranks_the_first_one_warns(tmp_path, capsys, monkeypatch):
    save(tmp_path / "a.png", RAMP * 16, "<u2")
    for rank, warnings in ((1, 0), (0, 1)):
        monkeypatch.setattr(folder, "rank", lambda rank=rank: rank)
        load(tmp_path, value_range=[0, 2040])
        assert capsys.readouterr().err.count("warning: 50% of the values") == warnings


def test_few_grey_levels_are_a_warning(tmp_path, capsys):
    values = RAMP.copy()
    values[0, 0] = 65535  # one broken pixel
    save(tmp_path / "a.tif", values, "<u2")
    load(tmp_path)
    assert capsys.readouterr().err == (
        "warning: all 1 images have fewer than 16 grey levels (values 0..65535 become 0..255); "
        "write dataset.value_range=[low,high] of the values that matter\n"
    )
    load(tmp_path, value_range=[0, 255])
    Image.fromarray((RAMP % 12).astype("u1")).save(tmp_path / "a.tif")
    assert "warning: all 1 images have fewer than 16 levels" in load(tmp_path).note
    Image.fromarray(RAMP > 99).save(tmp_path / "a.tif")  # black and white: meant
    assert "fewer" not in load(tmp_path).note and capsys.readouterr().err == ""


def test_what_a_sample_decides_is_checked_on_every_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(decode, "SAMPLE", 2)  # the first and the last
    for i in range(5):
        Image.fromarray(RAMP.astype("u1")).resize((40, 40)).save(tmp_path / f"{i}.png")
    for i in (1, 2, 3):
        Image.effect_noise((60, 50), 50).convert("RGB").save(tmp_path / f"{i}.png")
    data = load(tmp_path, channels="auto", storage_size="auto")
    assert data.images.shape == (5, 1, 40, 40)
    assert capsys.readouterr().err.splitlines() == [
        "warning: 3 of 5 images are in colour and become grey; write dataset.channels=3",
        "warning: the shorter side of the images is 50 pixels in the median, not 40 as in a sample; "
        "write dataset.storage_size=50",
    ]
    load(tmp_path)  # both set by the user
    assert capsys.readouterr().err == ""


def test_the_first_of_many_pages_is_taken_and_counted(tmp_path):
    pages = [Image.fromarray(RAMP.astype("u1")) for _ in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "b.png")
    assert "1 file of several pages or frames (3): the first is taken" in load(tmp_path).note


def test_mpo_is_read(tmp_path):
    pages = [Image.fromarray(RAMP.astype("u1")).convert("RGB") for _ in range(2)]
    pages[0].save(tmp_path / "a.mpo", save_all=True, append_images=pages[1:])
    data = load(tmp_path)
    assert len(data.images) == 1 and "pages" not in data.note


def test_large_pictures_can_be_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    save(tmp_path / "a.png", RAMP, "u1")
    with pytest.raises(UserError, match=r"256 pixels, more than Pillow deems safe.* write dataset\.max_pixels=256"):
        load(tmp_path)
    assert np.array_equal(load(tmp_path, max_pixels=256).images[0, 0], RAMP)
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize("value_range", [3, [1, 0], [0, 1, 2], ["a", 2], [0, float("inf")], "01"])
def test_a_range_that_is_none(tmp_path, value_range):
    with pytest.raises(UserError, match=r"dataset\.value_range=.* is not \[low,high\]"):
        load(tmp_path, value_range=value_range)


def test_other_images_get_the_range_that_a_model_was_trained_on(tmp_path):
    """By themselves the dark ones would be as bright."""
    for name, values in {"trained/a.tif": RAMP * 16, "dark/a.tif": RAMP, "floats/a.tif": RAMP / 257}.items():
        (tmp_path / name).parent.mkdir()
        save(tmp_path / name, values, "<f4" if "floats" in name else "<u2")
    trained = load(tmp_path / "trained")
    assert trained.value_range == {"integer": [0, 4095]}
    info = ImageInfo("trained", 1, 16, (), 1, 1, 0, (0.5,), (0.5,), value_range=trained.value_range)
    assert ImageInfo.from_dict(json.loads(json.dumps(info.to_dict()))) == info
    node = {"_target_": "ssl_cli.data.images.folder.load", "reading": 2, "storage_size": 16, "channels": 1}
    node |= {"labels": "all", "val_fraction": 0, "test_fraction": 0, "split_seed": 0, "value_range": None}

    def levels(name, **more):
        typed = [f"dataset.{key}={value}" for key, value in more.items()]
        data, _ = dataset.load_fitting({**node, "root": str(tmp_path / name), **more}, info, typed)
        return data.images[0, 0].numpy()

    assert np.array_equal(levels("trained"), trained.images[0, 0])
    assert np.array_equal(levels("dark"), np.round(RAMP * 255 / 4095))
    assert np.array_equal(levels("dark", value_range=[0, 510]), np.round(RAMP / 2))
    assert np.array_equal(levels("floats"), np.round(RAMP * 255 / 257))
