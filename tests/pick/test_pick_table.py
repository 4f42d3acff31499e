"""The table of what to label."""

from ssl_cli.pick.table import Picked, as_csv, read_csv


def test_a_text_of_several_lines_comes_back_as_it_was(tmp_path):
    picked = [Picked("one\ntwo\u2028three", "a", 0.5)]
    (tmp_path / "p.csv").write_bytes(as_csv(picked))
    assert read_csv(tmp_path / "p.csv") == picked
