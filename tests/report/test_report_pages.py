"""`ssl report` as a user runs it: on a run whose data has hostile names, again, on a sweep."""

import json
import os
import shutil
from pathlib import Path

import pytest
from report_pages import NAMES, OWN, called, check_page, files, parsed, spoil, words
from written_runs import begun, put

from ssl_cli.errors import UserError
from ssl_cli.report.figures.inspection import inspect_run
from ssl_cli.report.read import read_run
from ssl_cli.report.run_page import _results


def test_the_page_is_valid_whole_and_small(run):
    assert {f.name for f in (run / "report").iterdir()} == OWN
    tree = check_page(run / "report/index.html")
    assert (run / "report/index.html").stat().st_size < 3_000_000
    text = words(tree)
    for heading in ("Results", "What was learned", "What it was trained on", "Training", "Reproduce"):
        assert heading in [element.text for element in tree.iter("h2")]
    for said in (
        "raw pixels",
        "random weights",
        "linear, 1 label per class",
        "95 % bootstrap",
        "ssl train method=simclr",
    ):
        assert said in text, said
    assert "hydra.run.dir" not in "".join(tree.find(".//pre").itertext())
    assert [e.get("id") for e in tree.iter("figure")] == [
        *("label_efficiency", "confusion", "tsne", "tsne_images", "pca", "neighbours", "views"),
        *("loss", "validation", "learning_rate", "collapse"),
    ]
    assert "No UMAP" in text or (run / "report/umap.svg").exists()


def test_names_are_shown_as_text_everywhere(run):
    text, tree = (run / "report/index.html").read_text(encoding="utf-8"), parsed(run / "report/index.html")
    assert len(tree.findall(".//script")) == 2 and not tree.findall(".//b/b") and "<script>alert" not in text
    legend = [
        " ".join("".join(e.itertext()).split())
        for e in tree.find(".//figure[@id='tsne']").iter()
        if e.tag.endswith("text")
    ]
    assert "<script>alert…" in legend and "naïve 猫" in legend and '$x^{ & "quote…' in legend
    points = json.loads(tree.find(".//script[@id='points']").text)
    test_images = 12
    assert len(points["images"]) == len(points["maps"]["tsne"]) == len(points["maps"]["pca"]) == test_images
    assert any(item.startswith("<script>alert(1)< · <b>") for item in points["images"])
    for svg in (run / "report").glob("*.svg"):
        assert "<script" not in svg.read_text(encoding="utf-8")


def test_numbers_in_the_page_are_those_of_the_run(run):
    summary = json.loads((run / "summary.json").read_text())
    row = next(
        r for r in summary["results"] if (r["model"], r["probe"], r["labels"]) == ("simclr", "linear", "1/class")
    )
    low, high = (f"{100 * value:.1f}" for value in row["ci"])
    cells = ["".join(cell.itertext()) for cell in parsed(run / "report/index.html").find(".//table").iter("td")]
    assert f"{100 * row['mean']:.1f}± {100 * row['std']:.1f}[{low}, {high}]" in cells


def test_a_report_made_again_replaces_the_page_and_drops_figures_that_are_no_more(run, copy):
    (copy / "report").mkdir()
    for name in ("neighbours.png", "mine.png"):
        (copy / "report" / name).write_text("old")
        os.utime(copy / "report" / name, (0, 0))
    (copy / "report/index.html").write_text("old")
    (copy / "metrics.jsonl").unlink()
    images = run.parent / "images"
    images.rename(run.parent / "gone")  # the run knows where they were
    try:
        assert called(copy.parent, "report", "run") == 0
    finally:
        (run.parent / "gone").rename(images)
    assert "No features, neighbours or views: " in words(check_page(copy / "report/index.html"))
    left = {f.name for f in (copy / "report").iterdir()}
    assert "mine.png" in left and "neighbours.png" not in left and not [f for f in left if f.startswith(".")]


def test_images_that_have_moved_are_found_with_root(copy, run, monkeypatch):
    monkeypatch.chdir(copy.parent)
    said = []
    seen = inspect_run(Path("run"), str(run.parent / "images"), [], said.append)
    assert seen.split == "test" and len(seen.at) == 12 and seen.step == 2 and seen.data.classes == tuple(sorted(NAMES))
    assert said == ["images of images", "features of 12 test and 42 train images"]
    (run.parent / "images" / NAMES[2] / "new.png").write_bytes(
        (run.parent / "images" / NAMES[2] / "<b>1.png").read_bytes()
    )
    try:
        with pytest.raises(UserError, match="not those that the run was trained on"):
            inspect_run(Path("run"), str(run.parent / "images"), [], said.append)
    finally:
        (run.parent / "images" / NAMES[2] / "new.png").unlink()


def test_a_sweep_is_compared_and_leads_to_its_runs(run, tmp_path):
    for number in range(3):
        job = tmp_path / "sweep" / f"{number}-seed={number}"
        shutil.copytree(run, job, ignore=None if number == 0 else shutil.ignore_patterns("report"))
        spoil(job, seed=number, overrides=["method=simclr", f"seed={number}"])
    spoil(job, state="failed", error=NAMES[0], results=[])
    named = "<i>name</i>\"'&"
    spoil(tmp_path / "sweep/1-seed=1", overrides=["method=simclr", f"+x={named}"])
    before = files(tmp_path)
    assert called(tmp_path, "report", "sweep") == 0
    after = files(tmp_path)
    assert {name: after[name] for name in before} == before
    tree = check_page(tmp_path / "sweep/report/index.html")
    text = words(tree)
    assert "3 runs of images" in text and f"failed: {NAMES[0]}" in text and "2 of 3" in text
    assert [e.get("href") for e in tree.iter("a")] == ["../0-seed%3D0/report/index.html"]
    assert {"validation", "loss"} <= {e.get("id") for e in tree.iter("figure")}
    assert "raw pixels" in text and not list(tree.iter("i"))
    assert [cell.text for cell in tree.find(".//section[3]").iter("th")][6:] == ["seed=0", f"+x={named}", "seed=2"]


def test_bad_input_is_one_line(run, capsys):
    for args, said in (
        ([], "required: RUN"),
        (["nowhere"], "RUN=nowhere does not exist"),
        (["images"], "neither a run nor a directory with runs"),
        (["run", "--root", "nowhere"], "--root nowhere is not a directory"),
        (["run", "--to", "pdf"], "usage: ssl report"),
    ):
        before = files(run.parent)
        assert called(run.parent, "report", *args) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.splitlines()) == 1, error
        assert files(run.parent) == before


def test_the_results_without_test_images_that_are_in_train_stand_below(tmp_path):
    put(tmp_path / "run")
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    for row in summary["results"]:
        row["without_copies"] = {"images": 392, "left_out": 8, "mean": 0.25, "std": None, "ci": [0.2, 0.3]}
    (tmp_path / "run/summary.json").write_text(json.dumps(summary))
    found = _results(read_run(tmp_path / "run"))
    assert found.second.caption == "The same without 8 test images that train has, too, pixel for pixel"
    assert [cell.text for _, cells in found.second.rows for cell in cells] == ["25.0"] * 3
    assert "90.0" in [cell.text for _, cells in found.own.rows for cell in cells]


def test_the_page_says_whether_training_was_worth_it(tmp_path):
    path, _ = begun(tmp_path / "run", 0.8, 0.9)
    found = _results(read_run(path))
    assert found.own.head == ["", "raw pixels", "random weights", "before training", "simclr"]
    assert found.verdict.startswith("training gained: accuracy of linear with all labels, 80.0 % before and 90.0 %")
    put(tmp_path / "random")
    assert _results(read_run(tmp_path / "random")).verdict == ""
