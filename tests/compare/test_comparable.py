"""Which runs `ssl compare` puts beside each other: what it refuses, leaves out and names, and reads of an older ssl."""

import json

import pytest
from written_runs import CONFIG, KNN, lines_of, put

from ssl_cli.compare.comparison import compare
from ssl_cli.compare.formats.markdown import to_markdown
from ssl_cli.compare.options import Options
from ssl_cli.errors import UserError


def test_other_data_splits_and_protocols_are_refused_with_what_to_do(tmp_path):
    first = put(tmp_path / "a")
    other = put(tmp_path / "b", "byol", dataset="shapes")
    with pytest.raises(UserError, match="measured on digits, .* on shapes.*ssl probe ckpt=RUN dataset=digits"):
        compare([first, other])
    dataset = {**CONFIG["dataset"], "val_fraction": 0.3}
    other = put(tmp_path / "c", "byol", splits="t", config={"dataset": dataset})
    with pytest.raises(UserError, match=r"different splits of digits.*dataset.val_fraction is 0.1 there, 0.3 here"):
        compare([first, other])
    other = put(tmp_path / "d", "byol", splits="t")
    with pytest.raises(UserError, match="different splits of digits.*the images or their labels changed"):
        compare([first, other])
    other = put(tmp_path / "e", "byol", settings={"k": 5}, columns=(("knn", "all"), ("linear", "all")))
    with pytest.raises(
        UserError, match=r"knn with all labels was not measured alike: k is 20 in .*a and 5 in .*e"
    ) as e:
        compare([first, other])
    assert f"ssl probe ckpt={other} probe=knn probe.k=20" in str(e.value) and "--probe" in str(e.value)
    assert compare([first, other], Options(probes=["linear"])).columns == [("linear", "all", None, "accuracy")]


def test_runs_of_an_older_ssl_are_read_and_what_they_do_not_say_is_named(tmp_path):
    put(tmp_path / "s/0", "byol", 0, 0.95, old=True)
    c = compare([tmp_path / "s"])
    assert lines_of(c)["byol"].scores[KNN].difference == pytest.approx(0.15)
    put(tmp_path / "s/1", "simclr", 0, 0.9, settings={"similarity": "cosine"})
    (notice,) = compare([tmp_path / "s"]).notices
    assert "similarity taken as equal" in notice and "s/0" in notice
    put(tmp_path / "s/2", "vicreg", 0, 0.9, old=True, settings={"k": 5})
    with pytest.raises(UserError, match="k is 20"):
        compare([tmp_path / "s"])


def test_what_is_not_finished_is_left_out_and_named(sweep, tmp_path):
    row = json.loads(next(sweep.glob("0-a/summary.json")).read_text())["results"][0]
    put(sweep / "20-c", "vicreg", state="failed", error="out of memory")
    put(sweep / "21-d", "vicreg", state="running")
    put(sweep / "22-e", "vicreg", results=[])
    (sweep / "23-f").mkdir()
    (sweep / "23-f/summary.json").write_text('{"state": "fin')
    put(sweep / "24-g", "dino", 0, 0.5, collapsed=True)
    put(sweep / "25-h", "vicreg", results=["text", {"model": "vicreg"}, {**row, "mean": None}])
    c = compare([sweep])
    reasons = {path.rsplit("/", 1)[1]: reason for path, reason in c.left_out}
    assert reasons["20-c"] == "failed: out of memory" and reasons["21-d"] == "running"
    assert "no labels" in reasons["22-e"] and "no labels" in reasons["25-h"] and "cannot be read" in reasons["23-f"]
    assert lines_of(c)["dino"].collapsed == 1
    text = to_markdown(c)
    assert "Collapsed: dino (1 of 1)" in text and "20-c: failed: out of memory" in text
    with pytest.raises(UserError, match="no run is finished and measured.*out of memory"):
        compare([sweep / "20-c"])


@pytest.mark.parametrize(
    "path, text", [("nowhere", "there is no"), ("empty", "holds no run"), ("empty/file.txt", "holds no run")]
)
def test_paths_without_runs_are_one_line(tmp_path, path, text):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/file.txt").touch()
    with pytest.raises(UserError, match=text):
        compare([tmp_path / path])


@pytest.mark.parametrize("options", [Options(metric="ece"), Options(metric="ece", sort=True)])
def test_a_run_without_the_metric_is_left_out_and_named(sweep, options):
    put(sweep / "30-z", "vicreg", 0, 0.9, old=True)  # by an ssl that knew the headline only
    c = compare([sweep], options)
    assert {line.name for line in c.lines[2:]} == {"byol", "simclr"}
    assert c.left_out == [(str(sweep / "30-z"), "no score in these columns")]
    assert "30-z: no score in these columns" in to_markdown(c)
