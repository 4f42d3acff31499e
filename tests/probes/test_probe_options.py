"""``ssl probe`` as it is called: every option on disk, on a run and beside it, and what cannot be measured."""

import json

import numpy as np
import pytest
from experiments import CONF, train

from ssl_cli.cli import main
from ssl_cli.probes import finetune, linear_sgd, mlp

OPTIONS = sorted(file.stem for file in (CONF / "probe").glob("*.yaml") if not file.stem.startswith("_"))
# What makes an option small; one that is not here runs as it stands.
SMALL = {
    "finetune": ["probe.epochs=1", "probe.blocks=1", "probe.layer_decay=0.5"],
    "linear_sgd": ["probe.epochs=1", "probe.lrs=[0.1,0.3]", "probe.augment.crop=null"],
    "mlp": ["probe.epochs=1"],
    "linear": ["probe.draws=2", "probe.penalties=[0.01,1]"],
    "propagate": ["probe.labels=[1/class]", "probe.draws=2"],
    "cluster": ["probe.seeds=2", "probe.restarts=1"],
    "fewshot": ["probe.episodes=20"],
    "regression": ["probe.labels=[all,20%]", "probe.draws=2", "probe.targets=[x,size]"],
    "ood": ["dataset@probe.against=digits", "probe.images=40"],
}
SHAPES = ["dataset=shapes", "dataset.num_images=150", "dataset.storage_size=8", "dataset.channels=1"]


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    for module in (finetune, linear_sgd, mlp):
        monkeypatch.setattr(module, "LEAST_STEPS", 5)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two steps on shapes; small enough that it costs nothing to look at it again and again."""
    path = tmp_path_factory.mktemp("options") / "run"
    small = ["backbone.widths=[4,8]", "augment=none", "trainer.max_steps=2", "trainer.batch_size=32"]
    train(path, [*SHAPES, "method=supervised", "pretext=augment", *small])
    return path


def probe(run, *overrides):
    """Run the command in this process, for Python and PyTorch take longer to start than any of these probes."""
    return main(["probe", f"ckpt={run}", "trainer.threads=1", *overrides])


def results(run, option):
    found = sorted((run / "probes").glob(f"*-{option}-*/result.json"), key=lambda file: file.stat().st_mtime_ns)
    return json.loads(found[-1].read_text()), found[-1].parent


@pytest.fixture
def image_csv(tmp_path):
    """A folder of grey images without classes, as bright as ``numbers.csv`` says."""
    from PIL import Image

    (tmp_path / "images").mkdir()
    lines = ["file,who,brightness"]
    for i in range(40):
        Image.fromarray(np.full((8, 8), 6 * i, np.uint8)).save(tmp_path / f"images/{i}.png")
        lines.append(f"{i}.png,me,{'' if i == 3 else 0.5 * i}")
    (tmp_path / "numbers.csv").write_text("\n".join(lines))
    return tmp_path


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_measures_a_run_and_leaves_it_as_it_was(run, option, capsys):
    checkpoint = run / "checkpoints/last.pt"
    before = checkpoint.read_bytes()
    assert probe(run, f"probe={option}", *SMALL.get(option, [])) == 0
    assert checkpoint.read_bytes() == before
    result, directory = results(run, option)
    assert result["frozen"]["before"] == result["frozen"]["after"] and result["probe"] == option
    rows = result["results"]
    assert {row["model"] for row in rows} == {"random", "supervised"} | (
        {"pixels"} - {option == "finetune" and "pixels"}
    )
    for row in rows:
        assert row["metric"] == next(iter(row["metrics"])) and np.isfinite(row["mean"]) and row["settings"]["layer"]
        assert (row["std"] is None) == (row["n"] == 1)
    for protocol in {row["protocol"] for row in rows}:  # what is compared is equal but for the model
        alike = [row for row in rows if row["protocol"] == protocol]
        assert len({row["model"] for row in alike}) == len(alike)
        assert len({json.dumps([row[k] for k in ("labels", "target", "metric", "settings")]) for row in alike}) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "features" in out and "on the test split" in out
    if option == "finetune":  # what is trained is said, and its wait is announced
        assert "the last 1 of" in out and "in a copy; the run's own weights are as they were" in out
        assert "measuring supervised (3 of 3): finetune" in out
    if (directory / "predictions.npz").exists():
        stored = np.load(directory / "predictions.npz", allow_pickle=False)
        keys = {"/".join(filter(None, (r["model"], r["probe"], r["labels"], r["target"]))) for r in rows}
        assert {key for key in stored if "/" in key} <= keys


def test_features_are_kept_for_the_next_probe_and_not_where_they_are_not_wanted(run, capsys):
    assert probe(run, "probe=knn", "keep_features=false") == 0
    assert "features" not in capsys.readouterr().out
    assert probe(run, "probe=knn") == 0 and probe(run, "probe=retrieval") == 0
    assert "features from cache" in capsys.readouterr().out


def test_numbers_of_a_csv_are_predicted_in_their_units_on_images_that_are_made_to_fit(run, image_csv, capsys):
    folder = ["dataset=folder", f"dataset.root={image_csv / 'images'}", f"dataset.targets={image_csv / 'numbers.csv'}"]
    assert probe(run, "probe=regression", *folder) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "images: stored at 8x8 pixels, grey, and normalised as the shapes images" in out
    assert "MAE of" in out
    rows = {row["model"]: row for row in results(run, "regression")[0]["results"]}
    assert rows["pixels"]["target"] == "brightness" and rows["pixels"]["mean"] > 0.99
    errors = {name: scores["mean"] for name, scores in rows["pixels"]["metrics"].items()}
    assert errors["mae"] <= errors["rmse"] < 1 < errors["mae_of_mean"] <= errors["rmse_of_mean"]


def test_a_class_that_is_a_number_is_a_target(run):
    assert probe(run, "probe=regression", "dataset=digits") == 0
    rows = results(run, "regression")[0]["results"]
    assert {row["target"] for row in rows} == {"label"}


def test_budgets_are_nested_and_the_draws_are_stored(run):
    assert probe(run, "probe=knn", "probe.labels=[1/class,3/class,50%,all]", "probe.draws=3") == 0
    rows = [row for row in results(run, "knn")[0]["results"] if row["model"] == "supervised"]
    assert [(row["labels"], row["n"]) for row in rows] == [("1/class", 3), ("3/class", 3), ("50%", 3), ("all", 1)]
    assert [row["settings"].get("label_seeds") for row in rows] == [[0, 1, 2]] * 3 + [None]
    assert [row["settings"]["train_images"] for row in rows[:2]] == [7, 21]


@pytest.mark.parametrize(
    "overrides, said",
    [
        (
            ["probe=regression", "dataset=folder", "dataset.root={dir}/images"],
            ["no image with a target", "nothing was written"],
        ),
        (["probe=regression", "probe.targets=[sise]"], ["no target 'sise'", "did you mean 'size'"]),
        (["probe=regression", "probe.labels=[4/class]"], ["4/class", "10%"]),
        (
            ["probe=linear", "dataset=folder", "dataset.root={dir}/images"],
            ["no labels to probe with", "one folder a class"],
        ),
        (
            ["probe=regression", "dataset=folder", "dataset.root={dir}/images", "dataset.targets={dir}/none.csv"],
            ["none.csv", "No such file"],
        ),
        (
            [
                *("probe=regression", "dataset=folder", "dataset.root={dir}/images"),
                *("dataset.targets={dir}/numbers.csv", "dataset.target_columns=[who]"),
            ],
            ["line 2", "who is 'me', not a number"],
        ),
        (["probe=ood", "dataset@probe.against=folder"], ["probe.against.root is not set"]),
        (["probe=ood", "dataset@probe.against=shpes"], ["did you mean", "shapes"]),
        (["probe=fewshot", "probe.shots=[500]"], ["no two classes have more images", "nothing was written"]),
        (["probe=fewshot", "probe.shots=[0]"], ["probe.shots=[0]", "whole numbers from 1"]),
        (["probe=retrieval", "probe.ks=[1.5]"], ["probe.ks=[1.5]", "whole numbers from 1"]),
        (["probe=finetune", "probe.blocks=99"], ["probe.blocks=99", "blocks"]),
        (["probe=finetune", "layer=1"], ["leave layer out"]),
        (["probe=knn", "layer=99"], ["layer=99", "leave layer out"]),
        (["probe=propagate", "probe.alphas=[1]"], ["probe.alphas=[1]", "numbers between 0 and 1"]),
        (
            ["probe=propagate", "probe.labels=[all]"],
            ["every train image has its label", "write probe.labels=[10/class]"],
        ),
        (["probe=mlp", "probe.lrs=[]"], ["learning rates", "[0.01, 0.1]"]),
    ],
)
def test_what_cannot_be_measured_is_said_and_nothing_is_written(run, image_csv, overrides, said, capsys):
    before = sorted((run / "probes").rglob("*")) if (run / "probes").exists() else []
    assert probe(run, *(item.format(dir=image_csv) for item in overrides)) == 2
    shown = "".join(capsys.readouterr())
    assert all(part in shown for part in said), shown
    assert "Traceback" not in shown
    assert (sorted((run / "probes").rglob("*")) if (run / "probes").exists() else []) == before


def test_compare_reads_the_results_of_probes_and_keeps_unlike_ones_apart(run, capsys):
    assert probe(run, "probe=knn") == 0
    first = results(run, "knn")[1]
    assert probe(run, "probe=knn", "probe.temperature=0.2") == 0
    second = results(run, "knn")[1]
    capsys.readouterr()
    assert main(["compare", str(first)]) == 0
    assert "kNN" in capsys.readouterr().out
    assert main(["compare", str(first), str(second)]) == 2
    assert "temperature" in "".join(capsys.readouterr())
