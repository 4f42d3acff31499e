"""Texts as strangers have them: odd line ends, lists in JSON, files that are empty or no texts."""

import json

import pytest

from ssl_cli.data.texts.read import load
from ssl_cli.errors import UserError


def test_what_unicode_calls_a_line_end_is_inside_a_text(tmp_path):
    lines = ["one\u2028two", "three\u0085four", "five\x0bsix"]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"text": t}, ensure_ascii=False) for t in lines), "utf-8")
    assert load(file=str(tmp_path / "a.jsonl")).texts == tuple(lines)
    (tmp_path / "b.txt").write_bytes("\r\n".join(lines).encode() + b"\rlast")
    assert load(file=str(tmp_path / "b.txt")).texts == (*lines, "last")


def test_json_may_hold_lists_where_no_text_is_expected(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "one", "tags": ["x"]}\n\n{"text": "half \\ud83d"}\n')
    assert load(file=str(file)).texts == ("one", "half ?")
    file.write_text('{"text": "one", "label": "a"}\n{"text": {"de": "zwei"}, "label": "b"}\n')
    with pytest.raises(UserError, match="line 2 of .*a.jsonl has a list or an object as 'text'"):
        load(file=str(file))


def test_where_no_column_of_labels_is_found_the_others_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("review,mood\none two,good\nthree,bad\n")
    note = load(file=str(tmp_path / "a.csv")).note
    assert note.endswith("; no labels; dataset.label_column=NAME names their column, of mood")
    assert "no labels" not in load(file=str(tmp_path / "a.csv"), label_column="none").note


def test_of_a_folder_the_empty_files_are_left_out_and_counted(tmp_path):
    for name, content in {"a/1.txt": "one", "a/2.txt": " \n", "b/3.TXT": "zwei \xfc".encode("cp1252")}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    data = load(root=str(tmp_path))
    assert data.texts == ("one", "zwei \xfc") and data.classes == ("a", "b") and len(data.files) == 2
    assert data.note == "3 files, 1 of them read as Windows-1252; 1 without text left out"


def test_a_file_that_is_not_in_utf_8_says_so(tmp_path):
    for name, content, how in (
        ("a.txt", "zwei \xfc\n", "a text a line"),
        ("a.jsonl", '{"text": "\xfc"}', "in column text"),
    ):
        for encoding, said in (("cp1252", f"{how}, read as Windows-1252"), ("utf-8", how)):
            (tmp_path / name).write_bytes(content.encode(encoding))
            data = load(file=str(tmp_path / name))
            assert data.note.endswith(said) and data.texts[0].endswith("\xfc")


def test_a_folder_is_read_as_a_folder_of_images_is(tmp_path):
    root, one, other = tmp_path / "root", "\u00e4", "a\u0308"  # one letter, which Unicode writes in two ways
    for name in (f"train/{one}/1", "train/unlabelled/2", f"test/{other}/3", "train/.git/4", "read me", "../b/5"):
        file = root / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (root / "train/b").symlink_to(tmp_path / "b")
    (root / "train/notes.md").touch()
    data = load(root=str(root))
    classes = [data.classes[label] if label >= 0 else None for label in data.labels]
    known = {f"train/{one}/1": one, f"test/{other}/3": one, "../b/5": "b", "train/unlabelled/2": None, "read me": None}
    assert dict(zip(data.texts, classes, strict=True)) == known
    beside = "without a label, beside the folders: read me.txt"
    assert data.note == f"5 files; {beside}; left out, hidden: .git; 1 other files ignored (.md 1)"
    (root / "more").symlink_to(tmp_path / "b")
    with pytest.raises(UserError, match="has test, train beside more; move what is stray"):
        load(root=str(root))


@pytest.mark.parametrize("content", [bytes(range(256)), "text".encode("utf-16")])
def test_what_is_no_text_is_refused_by_name(tmp_path, content):
    (tmp_path / "1.txt").write_bytes(content)
    for place in ({"root": str(tmp_path)}, {"file": str(tmp_path / "1.txt")}):
        with pytest.raises(UserError, match=r"1\.txt is a binary file or in UTF-16"):
            load(**place)


def test_a_folder_in_the_place_of_a_file_is_told_its_key(tmp_path):
    with pytest.raises(UserError, match=r"is a folder; write dataset\.root="):
        load(file=str(tmp_path))
