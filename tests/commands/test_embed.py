"""``ssl embed``: what is in the file is what the backbone makes of the images, whatever the kind of file."""

import csv

import numpy as np
import pytest
import torch
from experiments import composed

from ssl_cli.commands.embed import embedded, write
from ssl_cli.errors import UserError
from ssl_cli.probes.frozen.features import extract
from ssl_cli.setup.restore import open_checkpoint


@pytest.fixture(scope="module")
def digits(trained):
    run, _ = trained
    return open_checkpoint(run / "checkpoints/last.pt", composed("embed", ["ckpt=unused"]))


def test_a_row_is_an_image_with_its_name_label_split_and_features(digits):
    data, table = digits.data, embedded(digits, "all", None)
    assert np.array_equal(table["position"], np.arange(len(data.images)))
    assert [data.classes.index(name) for name in table["label"]] == data.labels.tolist()
    for name, at in data.splits.items():
        assert np.array_equal(np.flatnonzero(table["split"] == name), at.numpy())
    some = torch.tensor([5, 0, 1700])
    expected = extract(digits.method.measured, data.images, some, digits.info, "cpu")
    np.testing.assert_allclose(table["features"][some.numpy()], expected.numpy(), rtol=1e-5, atol=1e-6)
    test = embedded(digits, "test", None)
    assert np.array_equal(test["position"], data.splits["test"].numpy()) and set(test["split"]) == {"test"}
    assert embedded(digits, "test", 1)["features"].shape[1] < test["features"].shape[1]


def test_every_kind_of_file_says_the_same_and_none_is_overwritten(digits, tmp_path):
    table = embedded(digits, "val", None)
    for end in ("npz", "csv", "parquet"):
        write(tmp_path / f"f.{end}", table)
        with pytest.raises(UserError, match="nothing was overwritten"):
            write(tmp_path / f"f.{end}", table)
    with np.load(tmp_path / "f.npz", allow_pickle=False) as arrays:
        assert arrays.files == list(table) and all(np.array_equal(arrays[name], table[name]) for name in table)
    header, *rows = csv.reader((tmp_path / "f.csv").open(newline=""))
    assert header[:4] == ["position", "path", "label", "split"] and header[4:] == [
        f"f{i}" for i in range(table["features"].shape[1])
    ]
    assert np.array_equal(np.array([row[4:] for row in rows], np.float32), table["features"])
    assert [row[2] for row in rows] == table["label"].tolist()
    parquet = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "f.parquet")
    assert parquet.column_names == header and parquet["label"].to_pylist() == table["label"].tolist()
    assert np.array_equal(np.stack([parquet[name].to_numpy() for name in header[4:]], 1), table["features"])


def test_other_images_are_made_to_fit_and_named_by_their_files(ssl, trained, image_folder):
    run, _ = trained
    folder = ["dataset=folder", f"dataset.root={image_folder}"]
    outcome = ssl("embed", f"ckpt={run}", *folder, "out=out/features.csv")
    assert outcome.status == 0, outcome.err
    assert "stored at 16x16 pixels, grey" in outcome.out and "36 images of images, 32 features each" in outcome.out
    rows = list(csv.DictReader((ssl.cwd / "out/features.csv").open(newline="")))
    assert sorted(row["path"] for row in rows) == sorted(
        file.relative_to(image_folder).as_posix() for file in image_folder.rglob("*.*")
    )
    assert all(row["path"].startswith(f"{row['label']}/") for row in rows)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["out=features.txt"], "write one of out=FILE.npz, out=FILE.csv, out=FILE.parquet"),
        (["out=there.npz"], "there.npz exists; nothing was overwritten"),
        (["split=tests"], "did you mean"),
        (["ckpt=missing"], "ckpt=missing does not exist"),
        (["layers=3"], "there is no setting 'layers'"),
    ],
)
def test_mistakes_are_one_line_before_torch_is_imported(ssl, trained, args, expected):
    (ssl.cwd / "there.npz").write_text("mine")
    outcome = ssl("embed", f"ckpt={trained[0]}", *args, process="light")
    assert outcome.status == 2 and expected in outcome.err and outcome.err.count("\n") == 1
    assert "torch" not in outcome.modules and (ssl.cwd / "there.npz").read_text() == "mine"
