"""``ssl pick``: from a run to a list, filled in by somebody, to a run that learns from it."""

import csv
import json
import shlex
import shutil
from pathlib import Path
from urllib.parse import unquote

import class_folders
import pytest
from command_line import CommandLine

from ssl_cli.cli import main
from ssl_cli.report.figures import embedding

QUICK = ["backbone.widths=[4,8]", "trainer.threads=1", "probes.linear.penalties=[0.01]", "probes.propagate=null"]
TRAIN = ["train", "method=frozen", "dataset=folder", "dataset.root=images", *QUICK, "hydra.run.dir=run"]


@pytest.fixture(scope="module")
def made(made_once, tmp_path_factory):
    """A folder with ``images/`` and ``run/``, which may use four labels a class."""

    def make(cwd: Path) -> None:
        for split, count in (("train", 36), ("test", 6)):
            list(class_folders.write(cwd / "images" / split, ("ant", "bee #1"), count))
        outcome = CommandLine(cwd, tmp_path_factory.mktemp("scratch"))(*TRAIN, "dataset.labels=4/class")
        assert outcome.status == 0, outcome.err

    return made_once("picked", make)


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(file: str) -> list[dict[str, str]]:
    with Path(file).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_list_that_is_filled_in_is_learned_from(here, capsys):
    assert main(["pick", "ckpt=run", "n=6", "out=next.csv"]) == 0
    out, found = capsys.readouterr().out, rows("next.csv")
    assert list(found[0]) == ["path", "label", "guess", "guess_probability"] and len(found) == 6
    assert all(row["path"].startswith("train/") and row["label"] == "" for row in found)
    assert {row["guess"] for row in found} <= {"ant", "bee #1"}
    assert all(0.5 <= float(row["guess_probability"]) <= 1 for row in found)
    page = Path("next.html").read_text(encoding="utf-8")
    assert page.count("data:image/") == 6 and "typical" in page and "bee #1" in page
    assert "6 of" in out and "look: next.html" in out and "dataset.labels_file=next.csv" in out

    assert main(["pick", "ckpt=run", "n=3", "out=first.csv"]) == 0
    assert rows("first.csv") == found[:3]
    for row in found:
        row["label"] = row["path"].split("/")[1]
    with Path("next.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(found[0]))
        writer.writeheader()
        writer.writerows(found)
    words = shlex.split(out.split("then: ")[1].splitlines()[0])
    assert words[0] == "ssl" and main([*words[1:], *QUICK[1:], "hydra.run.dir=again"]) == 0
    plan = capsys.readouterr().out
    assert "starts from  the backbone of run/checkpoints/last.pt" in plan
    assert "next.csv: 6 rows, files in column path, labels in column label; 6 of 84 images with a label" in plan


def test_what_has_a_label_and_what_is_measured_on_is_never_picked(here, capsys):
    splits = {name: set(of) for name, of in json.loads(Path("run/splits.json").read_text()).items()}
    of = len(splits["train"]) - 4 * 2
    assert splits["val"] and splits["test"]
    assert main(["pick", "ckpt=run", f"n={of}", "strategy=random", "out=all.csv"]) == 0
    picked = {row["path"] for row in rows("all.csv")}
    assert len(picked) == of and picked < splits["train"]
    left = splits["train"] - picked
    assert sorted(path.split("/")[1] for path in left) == ["ant"] * 4 + ["bee #1"] * 4
    assert main(["pick", "ckpt=run", f"n={of + 1}", "strategy=random", "out=more.csv"]) == 2
    assert f"only {of} train images have no label" in capsys.readouterr().err


def test_tasks_for_label_studio_show_files_and_come_with_their_interface(here, capsys):
    assert main(["pick", "ckpt=run", "n=4", "strategy=uncertain", "to=label_studio", "out=tasks.json"]) == 0
    tasks = json.loads(Path("tasks.json").read_text(encoding="utf-8"))
    assert len(tasks) == 4
    for task in tasks:
        place = task["data"]["image"]
        assert place.startswith("/data/local-files/?d=") and " " not in place and "#" not in place
        assert (Path("images") / unquote(place.split("?d=")[1])).is_file()
        (guess,) = task["predictions"]
        assert guess["result"][0]["value"]["choices"][0] in ("ant", "bee #1") and 0.5 <= guess["score"] <= 1
    scores = [task["predictions"][0]["score"] for task in tasks]
    assert scores == sorted(scores)  # of two classes, the least sure first
    interface = Path("tasks.xml").read_text()
    assert '<Choice value="ant"/>' in interface and '<Choice value="bee #1"/>' in interface


def test_the_report_shows_what_was_picked_and_nothing_is_overwritten(here, monkeypatch, capsys):
    monkeypatch.setattr(embedding, "tsne", lambda features: embedding.pca(features)[0])  # which takes seconds
    assert main(["pick", "ckpt=run", "n=3"]) == 0
    assert main(["pick", "ckpt=run", "n=3"]) == 0
    assert sorted(file.name for file in Path("run/picked").glob("*.csv")) == ["typical-3-2.csv", "typical-3.csv"]
    assert main(["pick", "ckpt=run", "n=3", "to=label_studio"]) == 0  # its page is another, too
    assert Path("run/picked/typical-3-3.json").exists() and Path("run/picked/typical-3-3.html").exists()
    assert main(["audit", "ckpt=run", "few=100"]) == 0  # whose findings are on the same page
    assert main(["report", "run"]) == 0
    page = Path("run/report/index.html").read_text()
    assert "3 of 3 images are train images of this run" in page
    assert "Audit of the data" in page and "Small class: 2 findings" in page and "train/bee #1/" in page
    before = Path("run/picked/typical-3.csv").read_bytes()
    assert main(["pick", "ckpt=run", "n=3", "out=run/picked/typical-3.csv"]) == 2
    assert "exists; nothing was overwritten" in capsys.readouterr().err
    assert Path("run/picked/typical-3.csv").read_bytes() == before


def test_images_without_any_label_are_picked_from_and_cannot_be_uncertain(here, tmp_path, capsys):
    flat = Path("flat")
    flat.mkdir()
    for i, file in enumerate(sorted(Path("images/train").rglob("*.png"))):
        shutil.copy(file, flat / f"{i:02}.png")
    train = ["train", "method=frozen", "dataset=folder", "dataset.root=flat", *QUICK, "hydra.run.dir=none"]
    assert main(train) == 0
    assert main(["pick", "ckpt=none", "n=5", "out=five.csv"]) == 0
    found = rows("five.csv")
    assert len({row["path"] for row in found}) == 5 and {row["guess"] for row in found} == {""}
    assert main(["pick", "ckpt=none", "n=5", "strategy=uncertain", "out=other.csv"]) == 2
    assert "strategy=uncertain needs a classifier" in capsys.readouterr().err and not Path("other.csv").exists()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["strategy=typica"], "did you mean 'typical'"),
        (["n=0"], "n=0 is out of range"),
        (["to=labelstudio"], "did you mean 'label_studio'"),
        (["out=next.txt"], "write out=FILE.csv"),
        (["to=label_studio", "out=next.csv"], "write out=FILE.json"),
    ],
)
def test_mistakes_are_one_line_before_torch_is_imported(ssl, here, args, told):
    outcome = ssl("pick", f"ckpt={here / 'run'}", *args, process="light")
    assert outcome.status == 2 and told in outcome.err and outcome.err.count("\n") == 1
