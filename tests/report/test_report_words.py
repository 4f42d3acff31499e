"""What reports say of texts."""

import json

from written_runs import put

from ssl_cli.report.figures.texts import known_by
from ssl_cli.report.read import read_run
from ssl_cli.report.run_page import _results
from ssl_cli.system.atomic import write_json


def test_a_word_that_every_text_has_tells_nothing():
    texts = ["the oven", "the oven", "the oven", "the boat", "the boat", "the boat"]
    assert known_by(texts, [0, 0, 0, 1, 1, 1], 2) == [["oven"], ["boat"]]


def test_a_run_without_results_says_what_has_no_label(tmp_path):
    put(tmp_path / "run", config={"dataset": {"_kind_": "text", "labels": "all"}})
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    write_json(tmp_path / "run/summary.json", {**summary, "results": []})
    assert _results(read_run(tmp_path / "run")).notes == ["No results: there are no labelled test texts."]
