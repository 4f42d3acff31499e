"""The user's own files of video."""

import shutil

import numpy as np
import pytest
import torch

pytest.importorskip("av")
from written_videos import sound, steady, turned_clockwise, write

from ssl_cli.data.clips import files
from ssl_cli.data.clips.decode import BrokenVideo, Film, decode
from ssl_cli.data.clips.layout import list_videos
from ssl_cli.errors import UserError


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Two classes of two files of two seconds."""
    root = tmp_path_factory.mktemp("films")
    for number, name in enumerate(("run/a.mp4", "run/b.mp4", "jump/c.mp4", "jump/d.mkv")):
        steady(root / name, 2.0 + number / 4)
    return root


@pytest.fixture
def load(tmp_path):
    def get(root, **settings):
        small = {"frames": 4, "view_frames": 2, "fps": 8.0, "storage_size": 16, "channels": 1}
        return files.load(str(root), **{**small, "cache_dir": str(tmp_path / "cache"), **settings})

    return get


def shown(frames) -> list[int]:
    """Return which frames of the file these are, by their brightness."""
    return [round(float(frame[0, -2, -2]) / 8) for frame in frames]


def decoded(file, fps=8.0, size=16, channels=1):
    film = Film()
    return list(decode(file, fps, size, channels, film)), film


def test_frames_come_at_the_rate_that_was_asked_for(tmp_path):
    file = steady(tmp_path / "a.mp4", 1.0, rate=16)
    for fps, expected in ((16, list(range(16))), (8, list(range(0, 16, 2))), (32, [k // 2 for k in range(31)])):
        frames, film = decoded(file, fps)
        assert shown(frames) == expected
        assert not film.uneven and film.turned == 0
    assert frames[0].shape == (1, 16, 16) and frames[0].dtype == np.uint8
    assert decoded(file, channels=3)[0][0].shape == (3, 16, 16)


def test_a_variable_rate_is_read_by_its_time_stamps(tmp_path):
    frames, film = decoded(write(tmp_path / "a.mp4", [0, 0.125, 0.25, 1.0, 1.125]))
    assert shown(frames) == [0, 1, 2, 2, 2, 2, 2, 2, 3, 4]
    assert film.uneven


def test_the_middle_square_is_kept_and_a_turned_file_is_upright(tmp_path):
    file = steady(tmp_path / "a.mp4", 0.5)
    (upright, *_), _ = decoded(file, size=32)
    assert (upright[0, :14, :6] > 200).all() and (upright[0, :14, 10:] < 60).all()  # 8 columns are cut off at each side
    (turned, *_), film = decoded(turned_clockwise(file), size=32)
    assert film.turned == 270
    assert np.array_equal(turned[0], np.rot90(upright[0], -1))


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "it is empty"), (b"no video at all" * 50, "it is damaged"), (None, "it has sound alone")],
)
def test_what_is_no_video_is_named(tmp_path, content, said):
    file = tmp_path / "a.mkv"
    sound(file) if content is None else file.write_bytes(content)
    with pytest.raises(BrokenVideo, match=said):
        decoded(file)


def test_a_file_that_was_cut_short_is_damaged(tmp_path):
    file = steady(tmp_path / "a.mp4", 2.0)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(BrokenVideo, match="it is damaged"):
        decoded(file)


def test_class_folders(films, load):
    data = load(films)
    assert data.classes == ("jump", "run")
    assert data.clips.shape == (4 + 4 + 5 + 5, 4, 1, 16, 16)  # seconds x 8 frames, cut into fours
    assert data.labels.tolist() == [0] * 10 + [1] * 8
    assert data.start.tolist() == [0, 0.5, 1, 1.5, 2] * 2 + [0, 0.5, 1, 1.5] * 2
    assert shown(data.clips[1]) == [8, 10, 12, 14]
    assert data.groups.bincount().tolist() == [5, 5, 4, 4]
    assert torch.equal(data.inputs, data.clips[:, 1:3])
    assert "one folder per class" in data.note
    assert [data.within_file(i) for i in (0, 1, 5)] == ["#t=0,0.5", "#t=0.5,1", "#t=0,0.5"]
    assert data.known_by(torch.tensor([1, 5])) == b"c.mp4@0.500\nd.mkv@0.000"


def test_clips_are_stored_once_and_mapped_when_large(films, load, monkeypatch):
    first = load(films)
    monkeypatch.setattr("ssl_cli.data.clips.store.decode", lambda *_: pytest.fail("decoded again"))
    again = load(films, storage_limit=0, fps=8)
    assert torch.equal(first.clips, again.clips)
    assert not first.mapped and again.mapped.endswith(".npy") and "mapped from" in again.storage


def test_splits_by_time_keep_stretches_together(films, load):
    data = load(films, frames=1, view_frames=1, split_by="time")
    assert len(data.clips) == 16 + 18 + 20 + 22
    of_one = data.groups[torch.tensor([name.endswith("c.mp4") for name in data.files])]
    assert (of_one.diff() >= 0).all() and len(of_one.unique()) == 10


def test_few_clips_of_each_file(films, load):
    data = load(films, clips_per_file=2)
    assert data.start.tolist() == [0, 2, 0, 2, 0, 1.5, 0, 1.5]


def test_split_folders_and_flat_trees(films, load, tmp_path):
    for split, names in (("train", ("run/a.mp4", "jump/c.mp4")), ("test", ("run/b.mp4", "jump/d.mkv"))):
        for name in names:
            (tmp_path / "s" / split / name).parent.mkdir(parents=True)
            shutil.copy(films / name, tmp_path / "s" / split / name)
    data = load(tmp_path / "s")
    assert {name: len(at) for name, at in data.splits.items()} == {"test": 9, "train": 9}
    data = load(films, layout="flat")
    assert data.classes == () and (data.labels == -1).all()


def copied(films, root, **names):
    """Copy files to the places that are named."""
    for name, place in names.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(next(films.rglob(f"{name}.*")), root / place)
    return root


def test_nothing_beside_split_folders_is_left_out_in_silence(films, tmp_path):
    root = copied(films, tmp_path, a="train/run/a.mp4", b="train/jump/b.mp4", c="valid/run/c.mp4", d="more/d.mkv")
    with pytest.raises(UserError, match=r"has train, valid beside more .*; write dataset.layout=splits"):
        list_videos(root, "auto")
    copied(films, root, a="unlabelled/a.mp4", b="valid/b.mp4")
    found = list_videos(root, "splits")
    places = {file: (label, split) for file, label, split in found.entries}
    assert places == {
        "train/run/a.mp4": ("run", "train"),
        "train/jump/b.mp4": ("jump", "train"),
        "unlabelled/a.mp4": (None, "train"),
        "valid/run/c.mp4": ("run", "test"),  # the file beside the classes has none to be measured by
    }
    assert "val is used as the test split" in found.note and "left out beside them: more" in found.note


def test_folders_that_are_named_like_splits_are_no_classes(films, tmp_path):
    root = copied(films, tmp_path, a="test/a.mp4", b="val/b.mp4")
    with pytest.raises(UserError, match="has val, test and no train"):
        list_videos(root, "auto")


def test_a_table_of_labels(films, load, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("file,label,split\na.mp4,x,train\nb.mp4,y,train\nc.mp4,x,test\nd.mkv,,train\n")
    data = load(films, labels_file=str(table))
    assert data.classes == ("x", "y")
    names = ("a.mp4", "b.mp4", "c.mp4", "d.mkv")
    of = {name: {data.labels[i].item() for i, f in enumerate(data.files) if f.endswith(name)} for name in names}
    assert of == {"a.mp4": {0}, "b.mp4": {1}, "c.mp4": {0}, "d.mkv": {-1}}
    assert len(data.splits["test"]) == 5
    with pytest.raises(
        UserError, match="dataset.layout=classes takes labels from folders, and dataset.labels_file has"
    ):
        load(films, labels_file=str(table), layout="classes")
    table.write_text("file,label\nother.mp4,x\na.mp4,y\n")
    with pytest.raises(UserError, match=r"1 of the 2 rows of .*: other.mp4 \(line 2\)"):
        load(films, labels_file=str(table))


def test_groups_of_a_table_stay_in_one_split(films, load, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("file,label,group\na.mp4,x,one\nb.mp4,y,one\nc.mp4,x,\nd.mkv,y,two\n")
    data = load(films, labels_file=str(table))
    of = {file[-5]: group for file, group in zip(data.files, data.groups.tolist(), strict=True)}
    assert of["a"] == of["b"] and len(set(of.values())) == 3
    with pytest.raises(UserError, match=r"split_by=time cuts files apart.*labels.csv has groups"):
        load(films, labels_file=str(table), split_by="time")
    table.write_text("file,label,group,split\na.mp4,x,one,train\nb.mp4,y,one,test\nc.mp4,y,two,train\n")
    with pytest.raises(UserError, match=r"groups in several splits: one \(test, train\); .*group_column=none"):
        load(films, labels_file=str(table))
    assert len(load(films, labels_file=str(table), group_column="none", split_by="time").groups.unique()) > 4


def test_broken_and_short_files_are_named(films, load, tmp_path):
    root = tmp_path / "some"
    shutil.copytree(films, root)
    (root / "run/empty.mp4").touch()
    steady(root / "jump/short.mp4", 0.25)
    write(root / "jump/uneven.mp4", [0, 0.1, 0.2, 1.0, 1.1])
    turned_clockwise(steady(root / "jump/turned.mp4", 1.0))
    with pytest.raises(UserError, match=r"cannot use .*empty.mp4: it is empty; write dataset.on_error=skip"):
        load(root)
    (root / "run/gone.mp4").symlink_to(root / "nowhere.mp4")
    data = load(root, on_error="skip")
    assert data.skipped == 2
    for said in (
        "broken: run/empty.mp4 (it is empty), run/gone.mp4 (it cannot be read (No such file or directory))",
        "1 file shorter than a clip of 0.5 seconds, left out: jump/short.mp4",
        "1 file of a variable frame rate, read by their time stamps: jump/uneven.mp4",
        "1 file turned upright, as they say: jump/turned.mp4",
    ):
        assert said in data.note
    with pytest.raises(UserError, match="empty.mp4: it is empty"):  # what was kept by a run that skipped it
        load(root)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"root": "nowhere"}, "dataset.root=nowhere is not a folder"),
        ({"layout": "clases"}, r"dataset.layout=clases is not one of .*did you mean 'classes'"),
        ({"split_by": "frame"}, "dataset.split_by=frame is not one of file, time"),
        ({"label_column": "x"}, "write dataset.labels_file=FILE.csv, too"),
        ({"frames": 400}, "has a clip of 400 frames at 8 a second"),
        ({"layout": "splits"}, "needs a folder named train"),
    ],
)
def test_what_cannot_be(films, load, settings, said):
    with pytest.raises(UserError, match=said):
        load(**{"root": films, **settings})


def test_without_pyav_one_line_says_how_to_install_it(films, load, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs PyAV.*pip install 'ssl-cli\[video\]'"):
        load(films)


def test_a_folder_without_video(tmp_path, load):
    (tmp_path / "x").mkdir()
    (tmp_path / "x/a.txt").write_text("no")
    with pytest.raises(UserError, match=r"has no file of video in it \(1 other files ignored \(.txt 1\)\)"):
        load(tmp_path / "x")
