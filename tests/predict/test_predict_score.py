"""Answers held against what is known: of texts by what they say, of clips by their file."""

from pathlib import Path

import pytest

from ssl_cli.data.texts.read import load
from ssl_cli.errors import UserError
from ssl_cli.predict.score import Known, known_classes
from ssl_cli.predict.source import Stored


def test_texts_of_one_file_are_known_by_what_they_say(tmp_path):
    (tmp_path / "t.csv").write_text('text,label\n"a, b/c",x\nof nobody,y\nd,y\n')
    against, texts = str(tmp_path / "t.csv"), ["d", "a, b/c", "new", "d"]
    assert known_classes(against, texts, Path("None"), "text", by_content=True) == Known(["y", "x", None, "y"], 1)
    with pytest.raises(UserError, match="against=folders is for files, and these texts are in one"):
        known_classes("folders", texts, Path("None"), "text", by_content=True)
    with pytest.raises(UserError, match="no row of .* has one of these texts"):
        known_classes(against, ["new"], Path("None"), "text", by_content=True)


def test_a_prediction_of_other_texts_does_not_go_on(tmp_path):
    found = []
    for content in ("one\ntwo\n", "one\nzwei\n"):
        (tmp_path / "t.txt").write_text(content)
        found.append(Stored(load(file=str(tmp_path / "t.txt")), "all", None).identity())
    assert found[0]["images"] == found[1]["images"] == 2 and found[0] != found[1]


def test_all_clips_of_a_file_have_its_class(tmp_path):
    (tmp_path / "t.csv").write_text("file,label\na/1.mp4,x\nb.mp4,y\n")
    files = ["a/1.mp4", "a/1.mp4", "b.mp4", "c.mp4"]
    assert known_classes(str(tmp_path / "t.csv"), files, tmp_path, "clip").of == ["x", "x", "y", None]
