"""The table of what to label."""

from ssl_cli.pick.table import Picked, as_csv, read_csv


def test_a_text_comes_back_as_it_was_however_long(tmp_path):
    picked = [Picked("one\ntwo\u2028three", "a", 0.5), Picked("long " * 30_000, "b", 0.25)]
    (tmp_path / "p.csv").write_bytes(as_csv(picked))
    assert read_csv(tmp_path / "p.csv") == picked
