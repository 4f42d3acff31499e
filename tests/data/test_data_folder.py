from functools import partial

import numpy as np
import pytest
from PIL import Image

from ssl_cli.data import dataset
from ssl_cli.data.images import folder
from ssl_cli.errors import UserError

load = partial(folder.load, reading=2)


def _image(path, level=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), level, np.uint8)).save(path)


def _levels(data, split):
    """Grey level and class name of each image of a split."""
    rows = data.splits[split].tolist()
    names = [*data.classes, None]  # -1 is the last
    return [(int(data.images[i, 0, 0, 0]), names[data.labels[i]]) for i in rows]


def test_split_folders(tmp_path):
    _image(tmp_path / "train/dog/1.png", 1)
    _image(tmp_path / "train/cat/deep/er/2.png", 2)
    _image(tmp_path / "train/loose.png", 3)
    _image(tmp_path / "unlabeled/x/4.png", 4)
    _image(tmp_path / "valid/dog/5.png", 5)
    _image(tmp_path / "test/cat/6.png", 6)
    _image(tmp_path / "test/loose.png", 7)
    data = load(str(tmp_path))
    assert data.classes == ("cat", "dog")
    assert sorted(_levels(data, "train"), key=str) == [(1, "dog"), (2, "cat"), (3, None), (4, None)]
    assert _levels(data, "val") == [(5, "dog")]
    assert _levels(data, "test") == [(6, "cat")]
    assert "1 images without a class in val or test left out" in data.note
    assert data.files[0].startswith(str(tmp_path))
    assert data.labelled


def test_val_without_test_becomes_test(tmp_path):
    for split in ("train", "val"):
        for label in "ab":
            _image(tmp_path / split / label / "1.png")
    data = load(str(tmp_path))
    assert sorted(data.splits) == ["test", "train"]
    assert "val is used as the test split" in data.note


def test_class_folders(tmp_path):
    _image(tmp_path / "ネコ/1.png")
    _image(tmp_path / "собака/2.PNG")
    _image(tmp_path / "собака/puppy/3.png")
    _image(tmp_path / "unlabelled/4.png")
    _image(tmp_path / "__MACOSX/5.png")
    _image(tmp_path / ".hidden/6.png")
    _image(tmp_path / "ネコ/.7.png")
    (tmp_path / "ネコ/README").write_text("")
    (tmp_path / "notes.txt").write_text("")
    data = load(str(tmp_path))
    assert data.classes == ("собака", "ネコ")
    assert sorted(data.labels.tolist()) == [-1, 0, 0, 1]
    assert "one folder per class" in data.note
    assert "2 other files ignored" in data.note


def test_flat_and_deep_trees_are_unlabelled(tmp_path):
    for name in ("2023/may/1.png", "2023/june/2.png", "2024/may/3.png"):
        _image(tmp_path / name)
    data = load(str(tmp_path), layout="flat")
    assert data.classes == ()
    assert data.labels.tolist() == [-1] * 3
    assert not data.labelled
    assert load(str(tmp_path), layout="classes").classes == ("2023", "2024")
    assert "without labels" in load(str(tmp_path / "2023/may")).note


def test_a_single_class_is_no_label(tmp_path):
    _image(tmp_path / "train/images/1.png")
    _image(tmp_path / "train/images/2.png")
    data = load(str(tmp_path))
    assert data.classes == ()
    assert "single class" in data.note


def test_links_that_make_a_loop(tmp_path):
    _image(tmp_path / "a/1.png")
    (tmp_path / "a/again").symlink_to(tmp_path)
    (tmp_path / "a/self").symlink_to(tmp_path / "a")
    _image(tmp_path / "elsewhere.d/2.png")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/linked").symlink_to(tmp_path / "elsewhere.d")
    data = load(str(tmp_path), layout="flat")
    assert len(data.images) == 2


def test_a_class_of_test_that_train_lacks(tmp_path):
    for name in ("train/a/1.png", "train/b/1.png", "test/c/1.png"):
        _image(tmp_path / name)
    with pytest.raises(UserError, match=r"class 'c' of test .* is not in train, which has a, b"):
        load(str(tmp_path))


def test_bad_roots(tmp_path):
    with pytest.raises(UserError, match="dataset.root is not set; write dataset.root=DIR"):
        load(None)
    with pytest.raises(UserError, match="does not exist"):
        load(str(tmp_path / "absent"))
    with pytest.raises(UserError, match="is empty"):
        load(str(tmp_path))
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(UserError, match="no image in it .*1 other files ignored"):
        load(str(tmp_path))
    with pytest.raises(UserError, match="is not a folder"):
        load(str(tmp_path / "a.txt"))


@pytest.mark.parametrize(
    "option",
    [
        {"layout": "class"},
        {"on_error": "ignore"},
        {"channels": 4},
        {"storage_size": "big"},
        {"layout": "splits"},
        {"reading": 4},
    ],
)
def test_bad_options(tmp_path, option):
    _image(tmp_path / "1.png")
    with pytest.raises(UserError, match=f"dataset.{next(iter(option))}={next(iter(option.values()))} "):
        folder.load(str(tmp_path), **{"reading": 2, **option})


def test_load_completes_the_splits(tmp_path):
    for label in "ab":
        for i in range(10):
            _image(tmp_path / label / f"{i}.png")
    node = {
        "_target_": "ssl_cli.data.images.folder.load",
        "_limits_": {},
        "root": str(tmp_path),
        "labels": "all",
        "label_seed": 0,
        "val_fraction": 0.1,
        "test_fraction": 0.2,
        "split_seed": 0,
    }
    data = dataset.load(node)
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 14, "val": 2, "test": 4}
    with pytest.raises(UserError, match="dataset.labels=some"):
        dataset.load(node | {"labels": "some"})
    _image(tmp_path / "stray.png")
    assert dataset.load(node).classes == ()  # a run that knew no dataset.reading keeps what it was trained on
    with pytest.raises(UserError, match="stray.png"):
        dataset.load(node | {"reading": 2})
