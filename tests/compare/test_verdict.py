"""What is said at the end of training: gained, lost, or within noise, and how sure that is."""

import pytest
from written_runs import CONFIG, N, begun, lines_of, put

from ssl_cli.compare.comparison import compare
from ssl_cli.compare.formats.csv import to_csv
from ssl_cli.compare.formats.markdown import to_markdown
from ssl_cli.compare.verdict import verdict
from ssl_cli.errors import UserError
from ssl_cli.runs.catalog import read_json


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (0.80, 0.90, "training gained: accuracy of linear with all labels, 80.0 % before and 90.0 % after: +10.0 ["),
        (0.90, 0.80, "training lost: accuracy of linear with all labels, 90.0 % before and 80.0 % after: -10.0 ["),
        (0.90, 0.905, "training is within noise of what it started from: "),
    ],
)
def test_the_sentence_goes_with_the_interval(tmp_path, before, after, said):
    path, rows = begun(tmp_path / "run", before, after)
    sentence = verdict(path, rows)
    assert sentence.startswith(said) and "95 % interval" in sentence and "\n" not in sentence
    assert ("start.pt" in sentence) is (before - after > 0.05)


def test_columns_that_come_out_otherwise_are_named(tmp_path):
    columns = (("linear", "all"), ("linear", "10/class"), ("knn", "all"))
    path, rows = begun(tmp_path / "run", {"all": 0.70, "10/class": 0.95}, 0.85, columns)
    sentence = verdict(path, rows)
    assert sentence.startswith("training gained: accuracy of linear with all labels")
    assert sentence.endswith("(elsewhere lost: linear with 10/class labels)")


def test_nothing_is_said_without_the_row_or_its_predictions(tmp_path):
    put(tmp_path / "random")
    assert verdict(tmp_path / "random", read_json(tmp_path / "random/summary.json")["results"]) == ""
    path, rows = begun(tmp_path / "run", 0.8, 0.9)
    (path / "predictions.npz").unlink()
    assert verdict(path, rows) == ""


TIMM = {"_target_": "ssl_cli.backbones.timm.Timm", "name": "resnet50", "weights": "a.pth"}


def about(licence, speed=100.0):
    return {"backbone": {"parameters": 23_500_000, "images_per_second": speed, "weights": {"licence": licence}}}


def test_before_training_is_a_baseline_of_a_comparison(tmp_path):
    for seed in range(2):  # weights of others know no seed
        begun(tmp_path / f"s/{seed}", 0.8, 0.9, config={"backbone": TIMM}, seed=seed)
    begun(tmp_path / "s/3", 0.7, 0.9, config={"backbone": {**TIMM, "weights": "b.pth"}})
    c = compare([tmp_path / "s"])
    names = [line.name for line in c.lines if line.baseline]
    assert names[0] == "raw pixels" and names[1] == "resnet50, random weights"  # one: they are not of the weights
    assert names[2:] == ["resnet50, weights=a.pth, before training", "resnet50, weights=b.pth, before training"]
    (score,) = lines_of(c)[names[2]].scores.values()
    assert (score.mean, score.n) == (pytest.approx(0.8), 1)
    assert c.against in (names[2], "raw pixels") and N == 400


def test_a_survey_has_size_speed_and_licence(tmp_path):
    for number, (name, licence) in enumerate((("resnet50", "apache-2.0"), ("resnet18", None))):
        node = {"backbone": {**TIMM, "name": name}, "method": {"_target_": "ssl_cli.methods.frozen.Frozen"}}
        path = tmp_path / f"s/{number}"
        put(path, "frozen", 0, 0.9, config=node, images_seen=0, **about(licence, 100 * (number + 1)))
    c = compare([tmp_path / "s"])
    text = to_markdown(c)
    assert "million parameters | images a second | licence" in text
    assert "| 23.5 | 100 | apache-2.0 |" in text and "| 23.5 | 200 | not stated |" in text
    assert "name=resnet18" in text and "23500000,100.0,apache-2.0" in to_csv(c)
    put(tmp_path / "t", config={**CONFIG})
    assert "licence" not in to_markdown(compare([tmp_path / "t"]))


def test_what_was_seen_has_the_name_of_the_data(tmp_path):
    put(tmp_path / "t", config={"dataset": {**CONFIG["dataset"], "_kind_": "text"}})
    assert "texts seen" in to_markdown(compare([tmp_path / "t"]))
    put(tmp_path / "i", config={**CONFIG})
    with pytest.raises(UserError, match="measured on texts, .* on images: these cannot be compared"):
        compare([tmp_path / "t", tmp_path / "i"])
