"""The whole way of a user, command by command: from images without labels to answers for new ones.

The images are made up and the weights are random, so that this takes seconds. With SSL_TEST_IMAGES=DIR the images are
those in DIR/CLASS/, 150 of each class, and the weights are real ones (ImageNet's, from the extra `dev`).
"""

import csv
import os
import random
from pathlib import Path

import class_folders
import pytest
from PIL import Image
from published import NAME, published  # noqa: F401 (a fixture)

REAL = os.environ.get("SSL_TEST_IMAGES")
SPLITS = {"train": 80, "val": 30, "test": 20, "new": 20}  # images of each class


@pytest.fixture
def network(request):
    """The settings of a backbone whose weights are there already."""
    if not REAL:
        return ["backbone=convnet"]
    file, _ = request.getfixturevalue("published")
    return ["backbone=timm", f"backbone.name={NAME}", f"backbone.weights={file}"]


def deal(cwd: Path) -> dict[str, tuple[str, str]]:
    """Lay images out in ``images/SPLIT/`` and ``new/``; return file name -> split and class. The last is a copy."""
    if REAL:
        folders = sorted(path for path in Path(REAL).iterdir() if path.is_dir())
        pictures = [(file, folder.name) for folder in folders for file in sorted(folder.iterdir())[:150]]
    else:
        made = class_folders.write(cwd / "made", ("ant", "bee", "fly"), 150, side=32)
        pictures = [(file, file.parent.name) for file, _ in made]
    order, known = random.Random(0), {}
    for split in SPLITS:
        place(cwd, split).mkdir(parents=True)
    for label in sorted({label for _, label in pictures}):
        files = [file for file, its in pictures if its == label]
        order.shuffle(files)
        for split, count in SPLITS.items():
            for _ in range(count):
                with Image.open(files.pop()) as picture:
                    name = f"{len(known):04}.png"
                    picture.convert("RGB").save(place(cwd, split) / name)
                known[name] = split, label
    first = next(name for name, (split, _) in known.items() if split == "train")
    with Image.open(place(cwd, "train") / first) as picture:
        picture.save(place(cwd, "test") / "copy.bmp")
    return known | {"copy.bmp": ("test", known[first][1])}


def place(cwd: Path, split: str) -> Path:
    return cwd / "new" if split == "new" else cwd / "images" / split


def table(file: Path, rows: list[tuple[str, ...]]) -> None:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow  # each command has quick tests of its own
def test_from_images_without_labels_to_answers_for_new_ones(ssl, network):
    cwd, known = ssl.cwd, deal(ssl.cwd)

    def command(*args: str) -> str:
        outcome = ssl(*args)
        assert outcome.status == 0, outcome.err
        return outcome.out

    # 1. The audit finds the copy of a train image in test, and it is taken away.
    command("audit", "dataset=folder", "dataset.root=images", "hydra.run.dir=audited")
    (copies,) = [row for row in read(cwd / "audited/audit.csv") if row["finding"] == "exact copies"]
    assert "copy.bmp" in copies["files"] and copies["leak"] == "yes"
    (cwd / "images/test/copy.bmp").unlink()

    # 2. Frozen weights show what the images are like; 3. the twenty to label are picked.
    pool = ["dataset=folder", "dataset.root=images/train", "dataset.val_fraction=0", "dataset.test_fraction=0"]
    command("train", "method=frozen", *network, *pool, "dataset.storage_size=64", "hydra.run.dir=first")
    command("pick", "ckpt=first", "n=20", "out=picked.csv")
    picked = [row["path"] for row in read(cwd / "picked.csv")]
    assert len(set(picked)) == 20

    # 4. A person labels them; val and test are labelled, too.
    labelled = [name for name, (split, _) in known.items() if split in ("val", "test") and name != "copy.bmp"]
    table(cwd / "labels.csv", [("file", "label"), *((name, known[name][1]) for name in (*picked, *labelled))])
    data = ["dataset=folder", "dataset.root=images", "dataset.labels_file=labels.csv"]

    # 5. The run on these labels; 6. answers for images that nobody has seen, scored by what we know.
    command("train", "method=frozen", "init=first", *data, "hydra.run.dir=second")
    table(
        cwd / "truth.csv", [("file", "label"), *((n, label) for n, (split, label) in known.items() if split == "new")]
    )
    asked = ["predict", "ckpt=second", "probe=propagate", "dataset=folder", "dataset.root=new", "out=answers.csv"]
    told = command(*asked, "against=truth.csv")
    answers = read(cwd / "answers.csv")
    assert len(answers) == sum(split == "new" for split, _ in known.values())
    right = sum(row["class"] == known[row["path"]][1] for row in answers) / len(answers)
    expected = sum(float(row["probability"]) for row in answers) / len(answers)
    assert f"against truth.csv: {100 * right:.1f} %" in told and f"{100 * expected:.1f} % were expected" in told
    assert right > 1.5 / len({label for _, label in known.values()}) and abs(right - expected) < 0.15

    # 7. One file that names the same classes without ssl.
    pytest.importorskip("onnxruntime")
    command("export", "ckpt=second", "to=onnx", "head=linear", "out=given")
    assert (cwd / "given/model.onnx").is_file()
