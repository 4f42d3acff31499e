"""Which images of a folder are trained on, with which labels: as its names say, or a question. No pixel is read."""

import os
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from ssl_cli.data.images import folder
from ssl_cli.data.images.files import tree
from ssl_cli.data.images.files.layout import list_images
from ssl_cli.data.images.files.split_names import meaning
from ssl_cli.errors import UserError


@pytest.fixture
def listed(tmp_path):
    """Make files (empty ones: nothing is decoded) and read their folder."""

    def make(*names, layout="auto", reading=2):
        for name in names:
            file = tmp_path / os.fsdecode(name)
            (file if name[-1:] in ("/", b"/") else file.parent).mkdir(parents=True, exist_ok=True)
            if not file.is_dir():
                file.touch()
        return list_images(tmp_path, layout, reading)

    return make


def counts(listing):
    """How many images of each split and class."""
    return dict(Counter(f"{split}/{label}" for _, label, split in listing.entries))


def asked(listed, *names, **options):
    with pytest.raises(UserError) as error:
        listed(*names, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


CLASSES = ("cat/1.png", "dog/2.png", "dog/3.png")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        *[(name, "train") for name in ("train", "Training", "train2017", "training_set", "trainset", "img_train")],
        *[(name, "val") for name in ("val", "Valid", "validation", "dev", "val-images", "VAL_1")],
        *[(name, "test") for name in ("test", "Testing", "test_data", "tests")],
        *[(name, "eval") for name in ("eval", "Evaluation")],
        *[(name, "unlabelled") for name in ("unlabeled", "Unlabelled", "unlabeled_images")],
        *[(name, None) for name in ("trainer", "cats train", "contest", "data", "device", "", "tr\u00e4in")],
    ],
)  # fmt: skip
def test_the_words_for_splits(name, what):
    assert meaning(name) == what


@pytest.mark.parametrize("train, test", [("Training", "eval"), ("TRAIN", "Evaluation"), ("train2017", "testing")])
def test_a_split_by_any_of_its_names_is_used(listed, train, test):
    found = listed(f"{train}/cat/1.png", f"{train}/dog/2.png", f"{test}/cat/3.png")
    assert counts(found) == {"train/cat": 1, "train/dog": 1, "test/cat": 1}
    assert f"{train} as train" in found.note and f"{test} as test" in found.note


def test_eval_is_val_beside_test(listed):
    found = listed("train/cat/1.png", "train/dog/2.png", "eval/cat/3.png", "test/dog/4.png")
    assert counts(found) == {"train/cat": 1, "train/dog": 1, "val/cat": 1, "test/dog": 1}


@pytest.mark.parametrize("second", ["training", "test/cat/3.png testing", "valid/cat/3.png dev"])
def test_two_folders_of_one_split_are_refused(listed, second):
    *more, last = second.split()
    said = asked(listed, "train/cat/1.png", *more, f"{last}/cat/9.png")
    assert last in said and "are both the" in said and "rename one" in said


def test_one_outer_folder_is_looked_through(listed, tmp_path):
    found = listed("photos/train/cat/1.png", "photos/train/dog/2.png", "photos/test/cat/3.png")
    assert counts(found) == {"train/cat": 1, "train/dog": 1, "test/cat": 1}
    assert "outer folder photos" in found.note and found.entries[0][0] == "photos/train/cat/1.png"


def test_class_folders_in_an_outer_folder(listed):
    assert counts(listed(*(f"photos/{name}" for name in CLASSES))) == {"train/cat": 1, "train/dog": 2}


def test_deeper_splits_are_never_trained_on(listed, tmp_path):
    said = asked(listed, "a/b/train/cat/1.png", "a/b/train/dog/2.png", "a/b/test/cat/3.png")
    assert "split folders inside a/b" in said and f"write dataset.root={tmp_path}/a/b," in said


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["2023/may/1.png", "2023/june/2.png", "2024/may/3.png"], ["two deep (2023/june, 2023/may)", "2023, 2024"]),
        (["cat/1.png", "wild/lynx/2.png"], ["two deep (wild/lynx)", "cat, wild"]),
        (["train/wild/lynx/1.png", "train/wild/wolf/2.png", "test/wild/lynx/3.png"], ["two deep in train", "=splits"]),
        (["cat/train/1.png", "cat/test/2.png", "dog/train/3.png"], ["split folders inside cat (cat/test, cat/train)"]),
        (["cat/1.png", "dog/2.png", "dog/test/3.png"], ["split folders inside dog (dog/test)"]),
        (["train/1.png", "bus/2.png", "car/3.png"], ["has train beside bus, car (2 images)", "=splits"]),
        (["train/cat/1.png", "test/cat/2.png", "more/cat/3.png"], ["has train, test beside more (1 image)", "=splits"]),
        (["train/cat/1.png", "test/cat/2.png", "a.png"], ["beside 1 image (a.png)"]),
        (["test/cat/1.png", "test/dog/2.png"], ["has test and no train", "rename a folder to train"]),
        (["cat/1.png", "dog/2.png", "test/3.png"], ["has test and no train"]),
        (["cats-train/1.png", "cats-test/2.png"], ["named like splits (cats-test, cats-train)"]),
        ([*CLASSES, "stray.png"], ["1 image (stray.png) beside cat, dog (3 images)", "move what is stray"]),
        (["stray.png", "photos/cat/1.png", "photos/dog/2.png"], ["1 image (stray.png) beside photos (2 images)"]),
    ],
)  # fmt: skip
def test_what_has_two_meanings_is_asked_and_can_be_answered(listed, names, said):
    text = asked(listed, *names)
    assert all(
        part in text for part in [*said, "; write " if "rename" not in text and "stray" not in text else "write"]
    )
    assert {split for _, _, split in listed(layout="flat").entries} == {"train"}
    assert len(listed(layout="flat").entries) == len(names)


NAMES = ("train", "Eval", "test2017", "val", "unlabeled", "cat", "dog", ".git", "@eaDir")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from(NAMES), max_size=3).map("/".join), min_size=1, max_size=6))
def test_of_any_tree_no_image_of_a_held_out_folder_is_trained_on(folders):
    with tempfile.TemporaryDirectory() as root:
        for folder in folders:
            (Path(root) / folder).mkdir(parents=True, exist_ok=True)
            (Path(root) / folder / "1.png").touch()
        try:
            found = list_images(Path(root), "auto", 2)
        except UserError as error:
            assert "write dataset." in str(error) or "rename" in str(error)
            return
    files = [file for file, _, split in found.entries if split == "train"]
    outer = [[meaning(part) for part in file.split("/")[:-1]] for file in files]
    for parts in outer:
        first = next((what for what in parts if what is not None), None)
        assert first in (None, "train", "unlabelled"), (files, found.note)
    hidden = sum(any(part[:1] in ".@" for part in folder.split("/") if part) for folder in set(folders))
    assert bool(hidden) <= ("left out" in found.note)


def test_the_answers(listed):
    names = "train/1.png", "bus/2.png", "car/3.png"
    assert counts(listed(*names, layout="classes")) == {"train/bus": 1, "train/car": 1, "train/train": 1}
    found = listed(layout="splits")
    assert counts(found) == {"train/None": 1} and "left out beside them: bus, car (2 images)" in found.note


def test_a_stray_image_has_no_label_where_classes_are_meant(listed):
    found = listed(*CLASSES, "stray.png", layout="classes")
    assert counts(found) == {"train/None": 1, "train/cat": 1, "train/dog": 2}
    assert "without a class, beside the folders: 1 image (stray.png)" in found.note


def test_what_systems_put_into_folders_is_no_class_and_is_counted(listed):
    found = listed(
        *CLASSES,
        *("@eaDir/x/SYNOPHOTO_THUMB_M.jpg", "cat/@eaDir/1.png", "__MACOSX/._1.png", ".thumbnails/1.png"),
        *("#recycle/1.png", "$RECYCLE.BIN/1.png", "lost+found/", "System Volume Information/1.png"),
        *("cat/Thumbs.db", "dog/Thumbs.db", "dog/.DS_Store", "dog/._2.png"),
    )
    assert counts(found) == {"train/cat": 1, "train/dog": 2}
    for part in (
        "left out, of a NAS: #recycle, @eaDir 2",
        "left out, hidden: .DS_Store, ._2.png, .thumbnails",
        "left out, of macOS: __MACOSX",
        "left out, of Windows: $RECYCLE.BIN, System Volume Information, Thumbs.db 2",
        "left out, of the file system: lost+found",
    ):
        assert part in found.note


def test_an_empty_class_and_an_empty_split_are_named(listed):
    assert "folders without an image: bird, fish" in listed(*CLASSES, "bird/", "fish/notes.txt").note


def test_an_empty_split_is_named_or_refused(listed):
    assert "test has no image" in listed("train/cat/1.png", "train/dog/2.png", "test/").note


def test_nothing_to_train_on_is_refused(listed):
    said = asked(listed, "train/cat/1.txt", "test/cat/2.png")
    assert "no image to train on" in said and "other files ignored (.txt 1)" in said


def test_what_cannot_be_read_is_counted_by_its_reason(listed):
    found = listed(*CLASSES, "cat/a.CR2", "dog/b.nef", "dog/c.mp4", "dog/d.txt", "dog/README", "cat/e.svg")
    assert counts(found) == {"train/cat": 1, "train/dog": 2}
    assert "left out, raw images of a camera: convert them to TIFF or PNG: .cr2, .nef" in found.note
    assert "left out, videos: write dataset=clips: .mp4" in found.note
    assert "2 other files ignored (.txt 1, without ending 1)" in found.note


def test_class_names_of_other_encodings_stay_apart(listed):
    found = listed(b"caf\xe9/1.png", b"caf\xe8/2.png", "caf\u00e9/3.png")
    assert counts(found) == {"train/caf%E8": 1, "train/caf%E9": 1, "train/caf\u00e9": 1}
    assert len(counts(listed(layout="classes", reading=1))) == 2  # as it was


def test_one_name_written_in_two_ways_is_refused_where_they_are_one_beside_the_other(listed):
    apart = unicodedata.normalize("NFD", "caf\u00e9")
    said = asked(listed, "caf\u00e9/1.png", f"{apart}/2.png", "tea/3.png")
    assert r"'cafe\u0301' and 'caf\xe9'; rename one" in said and "Unicode" in said


def test_it_is_the_same_class_in_train_and_test(listed):
    apart = unicodedata.normalize("NFD", "caf\u00e9")
    found = listed("train/caf\u00e9/1.png", "train/tea/2.png", f"test/{apart}/3.png")
    assert counts(found) == {"train/caf\u00e9": 1, "train/tea": 1, "test/caf\u00e9": 1}


@pytest.mark.parametrize(
    ("names", "as_before"),
    [
        (["train/a/1.png", "train/b/2.png", "eval/a/3.png"], {"train/a": 1, "train/b": 1}),
        (["photos/train/a/1.png", "photos/test/a/2.png"], {"train/None": 2}),
        (["2023/may/1.png", "2024/may/2.png"], {"train/None": 2}),
        (["train/1.png", "bus/2.png", "car/3.png"], {"train/None": 1}),
        ([*CLASSES, "@eaDir/1.png"], {"train/@eaDir": 1, "train/cat": 1, "train/dog": 2}),
        ([*CLASSES, "stray.png"], {"train/None": 4}),
    ],
)
def test_a_run_of_the_first_rules_keeps_its_images_and_classes(listed, names, as_before):
    assert counts(listed(*names, reading=1)) == as_before


def test_heic_is_counted_and_the_plug_in_named_where_it_is_missing(listed, monkeypatch):
    monkeypatch.setattr(tree, "suffixes", lambda: frozenset({".png"}))
    found = listed(*CLASSES, "cat/a.HEIC", "dog/b.heic", "dog/c.heif")
    assert counts(found) == {"train/cat": 1, "train/dog": 2}
    assert "left out, they need pillow-heif: pip install 'ssl-cli[heif]': .heic 2, .heif" in found.note


def test_heic_is_read_upright_where_the_plug_in_is_installed(tmp_path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32] = 200  # bright above; as it is stored, turned by a quarter
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        Image.fromarray(np.rot90(pixels).copy()).save(tmp_path / label / "1.heic", exif=turned.tobytes(), quality=95)
    data = folder.load(str(tmp_path), storage_size=8, channels=1, reading=2)
    assert data.classes == ("cat", "dog") and len(data.images) == 2
    above, below = data.images[0, 0, :3].float().mean(), data.images[0, 0, 5:].float().mean()
    assert above == pytest.approx(200, abs=6) and below == pytest.approx(0, abs=6)
    with pytest.raises(UserError, match="no image in it"):
        folder.load(str(tmp_path), storage_size=8, channels=1)  # the first rules knew none of these
