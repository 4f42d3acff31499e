"""The part of a prediction: what is kept of it, what it refuses, and who may write it."""

import pytest

from ssl_cli.errors import UserError
from ssl_cli.predict.part import Part, part_of

ABOUT = {"root": "new", "images": 4}


def test_what_follows_the_last_mark_is_computed_again(tmp_path):
    out = tmp_path / "out.csv"
    with Part(out, ABOUT) as part:
        part.add([["a.png", 0.5], ["b.png", None]])
    whole = part_of(out).read_bytes()
    for torn in (b'["c.png", 0.1]\n', b'["c.p', b'["c.png", 0.1]\n{"do', b"\0\0\0"):
        part_of(out).write_bytes(whole + torn)
        with Part(out, ABOUT) as part:
            assert part.done == 2 and part_of(out).read_bytes() == whole
    with Part(out, ABOUT) as part:
        part.add([["c.png", 1.0]])
        assert list(part.rows()) == [["a.png", 0.5], ["b.png", None], ["c.png", 1.0]] and part.done == 3
    for cut in (0, 7):  # it was killed while the first line was written
        part_of(out).write_bytes(whole[:cut])
        with Part(out, ABOUT) as part:
            assert part.done == 0 and list(part.rows()) == []


def test_one_process_at_a_time_and_only_its_own_part(tmp_path):
    out = tmp_path / "out.csv"
    with Part(out, ABOUT), pytest.raises(UserError, match="another process writes"), Part(out, ABOUT):
        pass
    with pytest.raises(UserError, match="part of another prediction: images differ"), Part(out, {**ABOUT, "images": 5}):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv.part"]
