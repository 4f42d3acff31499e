"""The table and the page of what to label."""

from ssl_cli.pick.table import Picked, as_csv, read_csv
from ssl_cli.report.pick_page import pick_page


def test_a_text_comes_back_as_it_was_however_long(tmp_path):
    picked = [Picked("one\ntwo\u2028three", "a", 0.5), Picked("long " * 30_000, "b", 0.25)]
    (tmp_path / "p.csv").write_bytes(as_csv(picked))
    assert read_csv(tmp_path / "p.csv") == picked


def test_a_page_says_what_an_input_would_be_called_and_how_sure_that_is():
    picked = [Picked("a", "ant", 0.75), Picked("b", "bee"), Picked("c")]
    page = pick_page("few", {}, picked, ["one", "two", "three"], "text")
    assert "3 texts of few to label" in page and page.count("</li>") == 3 and page.count("?</small>") == 2
    assert "<li>one<small>a</small><small>ant, 75 %?</small></li>" in page and "<small>bee?</small>" in page
