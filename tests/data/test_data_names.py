"""File names as texts: in every table the same, never two alike, and back again."""

import csv
import json
import os

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ssl_cli.commands.embed import relative, write
from ssl_cli.data.images.files.names import as_name, as_text

KEPT = ["dog 1.png", "50%.png", "my%20photo.png", "caf\u00e9/\u732b.png", "cafe\u0301.png", "a=b,[c]#.png", "%e9.png"]
WRITTEN = {
    b"caf\xe9.png": "caf%E9.png",
    b"caf%E9.png": "caf%25E9.png",
    b"100%25.png": "100%2525.png",
    b"a\nb\x1b[2J.png": "a%0Ab%1B[2J.png",
    "x\u202egnp".encode(): "x%E2%80%AEgnp",
}


@pytest.mark.parametrize("name", KEPT)
def test_a_name_in_utf8_stays_as_it_is(name):
    assert as_text(name) == name and as_name(name) == name


@pytest.mark.parametrize("raw", WRITTEN)
def test_what_is_no_text_becomes_percent(raw):
    assert as_text(os.fsdecode(raw)) == WRITTEN[raw]
    assert os.fsencode(as_name(WRITTEN[raw])) == raw


@given(st.lists(st.sampled_from([b"%", b"2", b"5", b"E", b"9", b"\xe9", b"\xc3", b"\n", b"e", b"/"])).map(b"".join))
@example(b"%\xe9")
@example(b"%2\x05")
def test_every_name_comes_back(raw):
    text = as_text(os.fsdecode(raw))
    assert os.fsencode(as_name(text)) == raw
    assert text.encode().decode() == text and "\n" not in text


def test_two_files_are_two_in_every_format(tmp_path):
    pyarrow = pytest.importorskip("pyarrow.parquet")
    raw = [b"b\xe9.png", b"b\xe8.png", b"b%E9.png", "b\u00e9.png".encode()]
    paths = [relative(os.fsdecode(os.fsencode(tmp_path) + b"/" + name), tmp_path) for name in raw]
    table = {"path": np.array(paths), "features": np.zeros((4, 1), np.float32)}
    for end in ("csv", "npz", "parquet"):
        write(tmp_path / f"f.{end}", table)
    with np.load(tmp_path / "f.npz") as arrays:
        from_npz = arrays["path"].tolist()
    from_csv = [row["path"] for row in csv.DictReader((tmp_path / "f.csv").open(encoding="utf-8", newline=""))]
    from_parquet = pyarrow.read_table(tmp_path / "f.parquet")["path"].to_pylist()
    assert from_npz == from_csv == from_parquet == json.loads(json.dumps(paths))
    assert [os.fsencode(as_name(path)) for path in from_csv] == raw
