"""No file that other programs read as JSON holds NaN; what was null is NaN again where a score is read."""

import json
import math

import pytest
from rich.console import Console
from written_runs import put

from ssl_cli.cli import main
from ssl_cli.compare.table import print_table
from ssl_cli.runs.catalog import find_runs, read_json
from ssl_cli.runs.directory import RunDir
from ssl_cli.system import plain_json
from ssl_cli.training.metrics import JsonLines


def strict(text):
    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_what_is_not_finite_becomes_null():
    content = {"a": [1.5, math.nan, (math.inf,)], "b": {"c": -math.inf, "d": None}, "e": True, "f": "NaN"}
    expected = {"a": [1.5, None, [None]], "b": {"c": None, "d": None}, "e": True, "f": "NaN"}
    assert strict(plain_json.dumps(content)) == expected
    assert math.isnan(content["a"][1])


def test_a_row_of_metrics_is_json(tmp_path):
    JsonLines(tmp_path / "metrics.jsonl").write({"step": 1, "epoch": 1.0, "loss": math.nan})
    assert strict((tmp_path / "metrics.jsonl").read_text()) == {"step": 1, "epoch": 1.0, "loss": None}


@pytest.fixture
def run(tmp_path):
    """A run whose own score is NaN, as the R2 of a constant target is."""
    put(tmp_path / "run")
    content = json.loads((tmp_path / "run/summary.json").read_text())
    row = content["results"][-1]
    row |= {"mean": math.nan, "std": None, "ci": [math.nan, math.nan]}
    row["metrics"]["accuracy"] = {"mean": math.nan, "std": None, "ci": [math.nan, math.nan]}
    RunDir(tmp_path / "run").write("summary.json", content)
    return tmp_path / "run"


@pytest.mark.parametrize("kind", ["null", "NaN"])  # as it is written, and as older versions wrote it
def test_scores_of_either_kind_are_read(run, kind, capsys):
    file = run / "summary.json"
    strict(file.read_text())
    if kind == "NaN":
        content = json.loads(file.read_text())
        content["results"][-1] |= {"mean": math.nan}
        file.write_text(json.dumps(content))
    row = read_json(file)["results"][-1]
    assert math.isnan(row["mean"]) and math.isnan(row["metrics"]["accuracy"]["mean"]) and row["std"] is None
    assert math.isnan(row["ci"][0]) and math.isnan(find_runs(run)[0]["test"]["mean"])
    print_table(read_json(file)["results"], Console())
    assert main(["runs", str(run)]) == 0 and "nan" in capsys.readouterr().out
    assert main(["runs", str(run), "--to", "json"]) == 0
    assert strict(capsys.readouterr().out)[0]["test"]["mean"] is None
    assert main(["compare", str(run), "--to", "json"]) == 0
    assert {line["name"] for line in strict(capsys.readouterr().out)["rows"]} == {
        "raw pixels",
        "convnet, random weights",
    }
