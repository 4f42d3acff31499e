"""How a folder of video files is read, and what is said where it can be read in several ways. No file is decoded."""

import pytest

from ssl_cli.data.clips.layout import annotated, list_videos
from ssl_cli.errors import UserError


@pytest.fixture
def listed(tmp_path):
    """Make files (empty ones: nothing is decoded) and read their folder."""

    def make(*names, layout="auto"):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return list_videos(tmp_path, layout)

    return make


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("run/1.mp4", "jump/2.mp4", "3.mp4"), "has 1 video (3.mp4) beside jump, run (2 videos); move"),
        (("test/run/1.mp4", "test/jump/2.mp4"), "dataset.layout=flat (all videos, without labels)"),
        (("a/run/1.mp4", "a/jump/2.mp4", "b/run/3.mp4"), "dataset.layout=flat (all videos, without labels)"),
        (("train/a/run/1.mp4", "train/b/jump/2.mp4"), "dataset.layout=flat (all videos, without labels)"),
        (("train/run/1.mp4", "train/jump/2.mp4", "test/fly/3.mp4"), "or use no labels: dataset.layout=flat"),
    ],
)
def test_what_is_asked_is_about_videos(listed, names, said):
    with pytest.raises(UserError) as error:
        listed(*names)
    assert said in str(error.value) and "image" not in str(error.value)


def test_what_is_noted_is_about_videos(listed):
    note = listed("train/run/1.mp4", "train/2.mp4", "test/3.mp4", "train/run/poses.npy", "train/all.zip").note
    assert "a single class (run) is no label: read as videos without labels" in note
    assert "1 videos without a class in val or test left out" in note and "image" not in note
    assert "1 other files ignored (.npy 1)" in note and "left out, archives: unpack them: .zip" in note


def test_a_class_of_a_table_that_train_lacks_can_be_carved(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.mp4").touch()
    table, columns = tmp_path / "labels.csv", dict.fromkeys(("file", "label", "split", "group"))
    table.write_text("file,label,split\na.mp4,x,train\nb.mp4,x,val\nc.mp4,y,test\n")
    with pytest.raises(UserError, match=r"'y' of test \(c.mp4\) is not in train, .*dataset.split_column=none") as error:
        annotated(tmp_path, table, columns)
    assert "layout" not in str(error.value)
    listing = annotated(tmp_path, table, {**columns, "split": "none"})
    assert listing.entries == [("a.mp4", "x", "train"), ("b.mp4", "x", "train"), ("c.mp4", "y", "train")]
