"""``ssl predict``: the answers are those that the run was measured by, from files or memory, in one go or in two."""

import csv
import json
import shutil
from pathlib import Path

import class_folders
import numpy as np
import pytest
import torch
from command_line import CommandLine

from ssl_cli.cli import main
from ssl_cli.predict import source
from ssl_cli.probes.scores.metrics import classification
from ssl_cli.report import predicted

TRAIN = [
    *("train", "method=supervised", "dataset=folder", "backbone.widths=[4,8,16]", "trainer.epochs=4"),
    *("trainer.threads=1", "trainer.batch_size=16", "probes.linear.labels=[all]", "dataset.targets=age.csv"),
    *("+probe@probes.regression=regression", "dataset.root=images", "hydra.run.dir=run"),
]


def make_images(root: Path) -> None:
    """Write 40 images in each of three folders, and a table of numbers beside the root."""
    rows = ["file,age"]
    for number, (file, pixels) in enumerate(class_folders.write(root, ("ant", "bee", "fly"), 40)):
        rows.append(f"{file.parent.name}/{file.name},{pixels[..., 0].mean() + 100 * (number // 40)}")
    root.with_name("age.csv").write_text("\n".join(rows))


@pytest.fixture(scope="module")
def made(made_once, tmp_path_factory):
    """A folder with ``images/`` and ``run/``: a classifier, a linear probe and a regression, as they were measured."""

    def make(cwd: Path) -> None:
        make_images(cwd / "images")
        outcome = CommandLine(cwd, tmp_path_factory.mktemp("scratch"))(*TRAIN)
        assert outcome.status == 0, outcome.err

    return made_once("classified", make)


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def predict(*args: str, ckpt: str = "run") -> list[dict[str, str]]:
    assert main(["predict", f"ckpt={ckpt}", "out=out.csv", *args]) == 0
    rows = read(Path("out.csv"))
    Path("out.csv").unlink()
    return rows


def read(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text().splitlines()))


@pytest.mark.parametrize(("probe", "name"), [((), "classifier"), (("probe=linear",), "linear")])
def test_the_test_split_is_as_it_was_measured_to_the_last_bit(here, probe, name):
    rows = predict("split=test", *probe)
    with np.load("run/predictions.npz") as measured:
        classes = ["ant", "bee", "fly"]
        found = np.array([classes.index(row["class"]) for row in rows], measured[f"supervised/{name}/all"].dtype)
        assert np.array_equal(found[None], measured[f"supervised/{name}/all"]) and len(rows) == 24
        ages = np.array([row["age"] for row in rows]).astype(measured["supervised/regression/all/age"].dtype)
        assert ages.tobytes() == measured["supervised/regression/all/age"].tobytes()
    heads = json.loads(str(np.load(next(here.glob(f"run/heads/*{name}*.npz")), allow_pickle=False)["about"]))
    assert heads["classes"] == classes and heads["calibrated_on"] == 12 and heads["targets"] == ["age"]


def test_files_get_the_same_answers_as_in_the_run_wherever_they_lie_and_without_the_run_s_images(here, capsys):
    own = {row["path"]: row for row in predict()}
    assert len(own) == 120 and "kept: run/heads/classifier-regression-" in capsys.readouterr().out
    assert all(float(row["probability"]) >= float(row["second_probability"]) for row in own.values())
    Path("new/deep").mkdir(parents=True)
    Path("images").rename("new/deep/er")
    Path("new/readme.txt").write_text("no image")
    moved = {row["path"].removeprefix("deep/er/"): row for row in predict("dataset=folder", "dataset.root=new")}
    assert "fitted before: run/heads/classifier-regression-" in capsys.readouterr().out
    assert moved.keys() == own.keys()
    for path, row in own.items():
        assert {**moved[path], "path": path} == row


def test_what_cannot_be_read_is_named_and_what_is_not_sure_is_left_to_a_person(here, capsys):
    Path("new").mkdir()
    for i, file in enumerate(sorted(Path("images").rglob("*.png"))[::10]):
        shutil.copy(file, f"new/{i:02}.png")
    Path("new/05.png").write_bytes(b"")
    Path("new/07.png").write_bytes(Path("new/07.png").read_bytes()[:60])
    everything = predict("dataset=folder", "dataset.root=new")
    out = capsys.readouterr().out
    assert "2 of 12 files cannot be read (05.png: the file is empty; 07.png: " in out
    broken = [row for row in everything if row["error"]]
    assert [row["path"] for row in broken] == ["05.png", "07.png"] and not any(row["class"] for row in broken)
    sound = [row for row in everything if not row["error"]]
    least = sorted(float(row["probability"]) for row in sound)[4]
    some = predict("dataset=folder", "dataset.root=new", f"min_probability={least}")
    assert (
        "6 images have a class of probability" in (out := capsys.readouterr().out) and "4 are left to a person" in out
    )
    mean = 100 * np.mean([float(row["probability"]) for row in some if row["class"]])
    assert f"expect {mean:.1f} % of the 6 classes to be right" in out
    for row, whole in zip(some, everything, strict=True):
        assert row["guess"] == whole["class"]
        assert row["class"] == (whole["class"] if whole["class"] and float(whole["probability"]) >= least else "")


def test_an_interrupted_prediction_goes_on_and_ends_as_the_unbroken_one(here, capsys, monkeypatch):
    monkeypatch.setattr(source, "CHUNK", 64)
    args = ["predict", "ckpt=run", "dataset=folder", "dataset.root=images"]
    assert main([*args, "out=whole.csv"]) == 0
    work = source.Files.chunks

    def stopping(self, done):
        for number, chunk in enumerate(work(self, done)):
            if number == 1:
                raise KeyboardInterrupt
            yield chunk

    monkeypatch.setattr(source.Files, "chunks", stopping)
    assert main([*args, "out=broken.csv"]) == 130
    part = Path("broken.csv.part")
    assert "stopped after 64 of 120 images" in capsys.readouterr().out and part.is_file()
    monkeypatch.setattr(source.Files, "chunks", work)
    with part.open("a") as stream:
        stream.write('["ant/9.png", "an')  # a row that was cut off
    for other in (["probe=linear"], ["dataset.value_range=[0,1]"]):
        assert main([*args, *other, "out=broken.csv"]) == 2
        assert f"{part} is part of another prediction" in capsys.readouterr().err
    assert main([*args, "out=broken.csv"]) == 0
    assert "going on after 64 of 120 images" in capsys.readouterr().out
    assert Path("broken.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert not list(here.glob("*.part")) and not list(here.glob(".*"))


def test_answers_are_scored_against_a_table_and_against_folders(here, capsys):
    """Every third row is wrong on purpose, one class is unknown, some images have no row, one row has no image."""
    answers = {row["path"]: row for row in predict()}
    names, told = ["ant", "bee", "fly"], ["Filename;Label"]
    for number, (path, row) in enumerate(list(answers.items())[:90]):
        wrong = names[(names.index(row["class"]) + 1) % 3]
        told.append(f"{path};{'owl' if number == 0 else wrong if number % 3 == 1 else row['class']}")
    Path("known.csv").write_text("\n".join([*told, "ant/none.png;ant"]))
    capsys.readouterr()
    assert main(["predict", "ckpt=run", "dataset=folder", "dataset.root=images", "against=known.csv"]) == 0
    out, score = capsys.readouterr().out, json.loads(Path("run/predicted/images.score.json").read_text())
    assert score["images"] == 90 and score["accuracy"] == pytest.approx(59 / 90) and score["unused_rows"] == 1
    assert score["interval"][0] < 59 / 90 < score["interval"][1] and score["without_label"] == 30
    mean = np.mean([float(row["probability"]) for row in list(answers.values())[:90]])
    assert score["expected"] == pytest.approx(mean, abs=1e-6) and score["unknown_classes"] == {"owl": 1}
    assert "against known.csv: 65.6 % [" in out and "that the run does not know: owl" in out
    assert "images without a label: 30; rows of no image: 1" in out

    least = sorted(float(row["probability"]) for row in answers.values())[60]
    args = ["dataset=folder", "dataset.root=images", "against=folders", f"min_probability={least}"]
    assert main(["predict", "ckpt=run", *args]) == 0  # the second file of that name
    score = json.loads(Path("run/predicted/images-2.score.json").read_text())
    right = [row["class"] == path.split("/")[0] for path, row in answers.items()]
    sure = [ok for ok, row in zip(right, answers.values(), strict=True) if float(row["probability"]) >= least]
    assert score["accuracy"] == pytest.approx(np.mean(right)) and score["images"] == 120
    assert score["decided"] == len(sure) and score["decided_accuracy"] == pytest.approx(np.mean(sure))
    first, classes = predicted.of_run(Path("run"))
    assert [name for name, _ in first.rows] == ["images.csv", "images-2.csv"]
    assert [cells[0].text for _, cells in first.rows] == ["120", "120"] and first.rows[0][1][4].text == "65.6"
    assert first.rows[1][1][1].text == str(len(sure))
    assert sum(int(cells[0].text) for _, cells in classes.rows) == len(sure)


def test_every_kind_of_file_says_the_same(here):
    parquet = pytest.importorskip("pyarrow.parquet")
    for end in ("csv", "jsonl", "parquet"):
        assert main(["predict", "ckpt=run", "split=val", f"out=out.{end}"]) == 0
    rows = read(Path("out.csv"))
    objects = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert parquet.read_table("out.parquet").to_pylist() == objects
    assert [{k: "" if v is None else str(v) for k, v in row.items()} for row in objects] == rows
    assert list(rows[0]) == [
        *("path", "class", "probability", "second", "second_probability", "unlike", "age", "error"),
    ]
    unlike = sorted(float(row["unlike"]) for row in rows)
    assert unlike == pytest.approx([round(100 * i / 12, 2) for i in range(12)])  # of val itself


def test_probabilities_of_the_digits_are_calibrated(trained, tmp_path, monkeypatch, capsys):
    run, _ = trained
    monkeypatch.chdir(tmp_path)
    rows = predict("split=test", "probe=linear", ckpt=str(run))
    with np.load(run / "predictions.npz") as measured:
        truth, predicted = measured["labels"], np.array([int(row["class"]) for row in rows])
        assert np.array_equal(predicted, measured["simclr/linear/all"][0])
        default = [int(row["class"]) for row in predict("split=test", ckpt=str(run))]  # no classifier of its own
        assert np.array_equal(default, measured["simclr/linear/all"][0])
        assert [int(row["path"]) for row in rows] == measured["positions"].tolist()
    sure = torch.tensor([[float(row["probability"]) for row in rows]])
    metrics = classification(torch.tensor(predicted)[None], torch.tensor(truth).long(), 10, sure)
    assert metrics["ece"]["mean"] <= 0.05
    assert sure.mean().item() == pytest.approx(metrics["accuracy"]["mean"], abs=0.03)
    assert f"expect {100 * sure.mean():.1f} % of the 359 classes to be right" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["out=out.txt"], "write one of out=FILE.csv, out=FILE.parquet, out=FILE.jsonl"),
        (["out=there.csv"], "there.csv exists; nothing was overwritten"),
        (["split=tests"], "did you mean 'test'"),
        (["min_probability=1.5"], "min_probability"),
        (["ckpt=missing"], "ckpt=missing does not exist"),
        (["dataset=folder", "dataset.root=x", "dataset.layout=flat"], "dataset.layout cannot be set"),
        (["dataset=folder", "dataset.root=x", "split=test"], "split cannot be set"),
        (["probe=linear", "probe.draws=3"], "probe.draws cannot be set"),
        (["against=none.csv"], "against=none.csv is not a file; write against=FILE.csv"),
        (["out=b.csv", "against=there.csv"], "b.score.json exists; nothing was overwritten"),
    ],
)
def test_mistakes_are_one_line_before_torch_is_imported(ssl, trained, args, expected):
    (ssl.cwd / "there.csv").write_text("mine")
    (ssl.cwd / "b.score.json").write_text("mine")
    outcome = ssl("predict", f"ckpt={trained[0]}", *args, process="light")
    assert outcome.status == 2 and expected in outcome.err and outcome.err.count("\n") == 1
    assert "torch" not in outcome.modules and (ssl.cwd / "there.csv").read_text() == "mine"


def test_mistakes_that_only_the_images_show(here, capsys):
    Path("empty").mkdir()
    Path("other.csv.part").write_text("mine")
    first = sorted(Path("images/ant").iterdir())[0].name
    Path("unnamed.csv").write_text("file,kind\na.png,ant")
    Path("twice.csv").write_text("file,label,class\na.png,ant,ant")
    Path("others.csv").write_text("file,label\nnowhere.png,ant")
    Path("unlike.csv").write_text(f"file,label\nant/{first},ant\nant/{first},bee")
    for args, expected in (
        (["dataset=folder", "dataset.root=nowhere"], "dataset.root=nowhere does not exist"),
        (["dataset=folder", "dataset.root=empty"], "dataset.root=empty has no image in it"),
        (["against=unnamed.csv"], "has no column of labels by a usual name (file, kind)"),
        (["against=twice.csv"], "has the columns label, class; call the one with the classes 'label'"),
        (["against=others.csv"], "no row of others.csv names a file of"),
        (["against=unlike.csv"], "says ant and bee of ant/"),
        (["probe=knn"], "the knn probe names no classes: it keeps nothing that could answer for others"),
        (["out=other.csv"], "other.csv.part is not the part of a prediction; nothing was overwritten"),
    ):
        assert main(["predict", "ckpt=run", *args]) == 2
        assert expected in (said := capsys.readouterr().err) and said.count("\n") == 1
    assert Path("other.csv.part").read_text() == "mine"
