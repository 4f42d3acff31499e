"""``ssl audit``: a folder with one thing of each kind that is wrong, and a row for each."""

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from experiments import composed
from omegaconf import OmegaConf
from PIL import Image

from ssl_cli.cli import main
from ssl_cli.data.dataset import load
from ssl_cli.data.images import digits


def scene(random: np.random.Generator, width: int = 84, height: int = 64) -> Image.Image:
    """Return a picture that is like no other; colours change more slowly than brightness."""
    shape, colour = (random.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (9, 3))
    shape[..., 1:] = shape[..., :1]
    shape, colour = (Image.fromarray(x).resize((width, height), 3) for x in (shape, colour))
    return Image.blend(shape, colour, 0.3)


def write(root: Path) -> None:
    """Write sound images, and beside them one thing of each kind that is wrong."""
    random = np.random.default_rng(0)
    for split, count in (("train", 16), ("val", 4), ("test", 6)):
        for label in ("ant", "bee"):
            (root / split / label).mkdir(parents=True)
            for i in range(count):
                scene(random, 80 + i).save(root / split / label / f"{i}.png")

    def sound(i: int) -> Image.Image:
        return Image.open(root / f"train/ant/{i}.png")

    sound(0).save(root / "test/ant/same.bmp")
    sound(1).save(root / "train/bee/same.tif")
    sound(2).save(root / "test/bee/again.jpg", quality=50)
    sound(3).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(root / "val/ant/flip.png")
    sound(4).crop((0, 6, 76, 64)).save(root / "train/ant/crop.png")
    sound(5).resize((43, 32)).save(root / "train/ant/half.png")
    Image.new("RGB", (64, 64), (200, 10, 10)).save(root / "train/ant/blank.png")
    scene(random, 640, 64).save(root / "train/bee/long.png")
    scene(random, 9, 9).save(root / "train/bee/tiny.png")
    scene(random).point(lambda value: value // 12).save(root / "train/bee/dark.png")
    (root / "train/cat").mkdir()
    scene(random).save(root / "train/cat/0.png")


@pytest.fixture(scope="module")
def made(made_once):
    return made_once("audit", lambda cwd: write(cwd / "images"))


@pytest.fixture(scope="module")
def audited(made, tmp_path_factory):
    """What the command wrote about the folder: its directory, and the rows."""
    out = tmp_path_factory.mktemp("audited") / "out"
    before = contents(made)
    assert main(["audit", "dataset=folder", f"dataset.root={made / 'images'}", f"hydra.run.dir={out}"]) == 0
    assert contents(made) == before  # no image is changed
    return out, rows(out / "audit.csv")


def contents(root: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in root.rglob("*.*") if file.is_file()}


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_thing_is_one_row_and_nothing_else_is_found(audited):
    _, found = audited
    assert [(row["finding"], row["files"]) for row in found] == [
        ("exact copies", "train/ant/0.png | test/ant/same.bmp"),
        ("near copies", "train/ant/2.png | test/bee/again.jpg"),
        ("near copies", "train/ant/3.png | val/ant/flip.png"),
        ("exact copies", "train/ant/1.png | train/bee/same.tif"),
        ("near copies", "train/ant/5.png | train/ant/half.png"),
        ("near copies", "train/ant/4.png | train/ant/crop.png"),  # less alike
        ("blank", "train/ant/blank.png"),
        ("extreme size", "train/bee/tiny.png"),
        ("extreme aspect", "train/bee/long.png"),
        ("extreme brightness", "train/bee/dark.png"),
        ("small class", "train/cat/0.png"),
    ]


def test_a_row_says_what_it_crosses_and_what_to_do(audited):
    _, found = audited
    assert [row["leak"] for row in found[:6]] == ["yes", "yes", "yes", "no", "no", "no"]
    assert [row["conflict"] for row in found[:6]] == ["no", "yes", "no", "yes", "no", "no"]
    assert found[1]["splits"] == "train | test" and found[1]["labels"] == "ant | bee" and found[1]["images"] == "2"
    assert "one split" in found[0]["what_to_do"] and "labels" in found[3]["what_to_do"]
    assert found[7]["detail"].startswith("9x9 pixels") and found[8]["detail"].startswith("640x64 pixels")


def test_the_page_shows_the_images_side_by_side(audited):
    out, found = audited
    page = (out / "audit.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == sum(int(row["images"]) for row in found)
    for name in ("test/ant/same.bmp", "train/cat/0.png", "Exact copies in train and test", "9x9 pixels"):
        assert name in page
    assert sorted(file.name for file in out.iterdir()) == ["audit.csv", "audit.html"]


def test_a_script_learns_of_what_it_asks_for_and_nothing_is_overwritten(made, audited, tmp_path, capsys):
    out, _ = audited
    args = ["audit", "dataset=folder", f"dataset.root={made / 'images'}"]
    before = (out / "audit.csv").read_bytes()
    assert main([*args, f"hydra.run.dir={out}"]) == 2
    assert "nothing was overwritten" in capsys.readouterr().err and (out / "audit.csv").read_bytes() == before
    assert main([*args, "near=1", "few=0", "fail_on=leak", f"hydra.run.dir={tmp_path / 'out'}"]) == 1
    assert {row["finding"] for row in rows(tmp_path / "out/audit.csv")}.isdisjoint({"near copies", "small class"})
    assert "exact copies in train and test: 1 (2 images)" in capsys.readouterr().out


def test_images_that_are_in_no_file_have_a_number_and_no_finding_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    args = ["audit", "dataset=shapes", "dataset.num_images=60", "near=1"]
    assert main([*args, "few=0", "fail_on=any", "hydra.run.dir=out"]) == 0
    assert rows(Path("out/audit.csv")) == [] and "nothing was found" in capsys.readouterr().out
    assert "Nothing was found" in Path("out/audit.html").read_text()
    assert main([*args, "few=60", "hydra.run.dir=few"]) == 0
    found = rows(Path("few/audit.csv"))
    assert found and {row["finding"] for row in found} == {"small class"}
    assert all(re.fullmatch(r"train\[\d+\]", name) for row in found for name in row["files"].split(" | "))


def test_groups_in_several_splits_are_rows_where_training_would_stop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random, table = np.random.default_rng(1), ["file,label,split,patient"]
    Path("images").mkdir()
    for i in range(24):
        scene(random).save(f"images/{i}.png")
        split = "test" if i % 4 == 0 else "val" if i % 4 == 1 else "train"
        table.append(f"{i}.png,{'ab'[i // 12]},{split},{'one' if i in (3, 4) else i}")
    Path("labels.csv").write_text("\n".join(table))
    args = ["dataset=folder", "dataset.root=images", "dataset.labels_file=labels.csv", "dataset.group_column=patient"]
    assert main(["train", "method=simclr", *args, "trainer.dry_run=true"]) == 2
    assert main(["audit", *args, "few=0", "fail_on=leak", "hydra.run.dir=out"]) == 1
    assert [(row["finding"], row["files"], row["leak"]) for row in rows(Path("out/audit.csv"))] == [
        ("group leak", "3.png | 4.png", "yes")
    ]


def test_a_run_judges_its_own_labels_and_those_of_other_data(trained, tmp_path, monkeypatch, capsys):
    """In the other data ten zeros are called one; nobody looks at those in test."""
    run, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(trained[0], run)
    args = ["audit", f"ckpt={run}", "near=1", "few=0"]
    assert main([*args, f"hydra.run.dir={out / 'own'}"]) == 0
    own = rows(out / "own/audit.csv")
    assert own and {row["finding"] for row in own} <= {"suspicious label", "outlier"}
    assert own == rows(run / "audited/audit.csv") and "for ssl report: " in capsys.readouterr().out

    pixels, labels = digits._read()
    wrong, changed = (labels == 0).nonzero()[0][:10], labels.copy()
    changed[wrong] = 1
    monkeypatch.setattr(digits, "_read", lambda: (pixels, changed))
    assert main([*args, "dataset=digits", f"hydra.run.dir={out / 'other'}"]) == 0
    found = {row["files"]: row for row in rows(out / "other/audit.csv")}
    splits = load(OmegaConf.to_container(composed("audit", ["dataset=digits"]).dataset)).splits
    judged = {f"{split}[{i}]" for split in ("train", "val") for i in {*wrong} & {*splits[split].tolist()}}
    caught = judged & found.keys()
    assert len(caught) > len(judged) / 2 > 2 and not any(name.startswith("test") for name in found)
    for row in map(found.get, caught):
        assert row["finding"] == "suspicious label" and row["labels"] == "1"
        assert "of its neighbours say 0" in row["detail"]
    assert [file.name for file in (run / "audited").iterdir()] == ["audit.csv"]  # it is not about the run's own data


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["dataset=folder", "dataset.root=images", "neer=1"], "did you mean 'near'"),
        (["dataset=folder", "dataset.root=images", "near=0"], "near=0"),
        (["dataset=folder", "dataset.root=images", "fail_on=leaks"], "did you mean 'leak'"),
        (["dataset=folder", "dataset.root=images", "ckpt=nowhere"], "ckpt=nowhere does not exist"),
        (["dataset=folder"], "dataset.root"),
        ([], "write dataset=folder dataset.root=DIR"),
        (["dataset.root=images"], "write dataset=folder dataset.root=DIR"),
    ],
)
def test_mistakes_are_one_line_before_torch_is_imported(ssl, args, told):
    outcome = ssl("audit", *args, process="light")
    assert outcome.status == 2 and told in outcome.err and outcome.err.count("\n") == 1, outcome.err


def test_folders_and_checkpoints_that_are_none_are_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("notes.pt").write_text("no checkpoint")
    for args, told in (
        (["dataset=folder", "dataset.root=nowhere"], "dataset.root=nowhere does not exist"),
        (["dataset=digits", "ckpt=notes.pt"], "notes.pt"),
    ):
        assert main(["audit", *args]) == 2
        error = capsys.readouterr().err
        assert told in error and error.count("\n") == 1


def test_images_without_a_class_are_looked_at_in_val_and_test_too(tmp_path):
    """Training would leave them out."""
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        (tmp_path / "images" / split).mkdir(parents=True)
        for i in range(4):
            scene(random).save(tmp_path / f"images/{split}/{i}.png")
    Image.open(tmp_path / "images/train/2.png").save(tmp_path / "images/test/again.bmp")
    out = tmp_path / "out"
    assert main(["audit", "dataset=folder", f"dataset.root={tmp_path / 'images'}", f"hydra.run.dir={out}"]) == 0
    (found,) = [row for row in rows(out / "audit.csv") if row["finding"] == "exact copies"]
    assert found["files"] == "train/2.png | test/again.bmp" and found["leak"] == "yes" and found["labels"] == ""


@pytest.mark.parametrize(("name", "kind"), [("docstrings", "text"), ("moving_shapes", "clip")])
def test_texts_and_clips_are_refused_before_they_are_read(ssl, name, kind):
    outcome = ssl("audit", f"dataset={name}", process="light")
    assert outcome.status == 2 and f"ssl audit is for images, and this data set has {kind}s" in outcome.err
    assert "torch" not in outcome.modules
