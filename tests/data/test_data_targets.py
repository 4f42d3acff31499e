import csv
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from ssl_cli.data.images import folder
from ssl_cli.data.images.base import ImageData
from ssl_cli.data.images.files.rows import Image
from ssl_cli.data.images.files.targets import read_targets
from ssl_cli.errors import UserError
from ssl_cli.probes.measurement import smallest
from ssl_cli.probes.regression import Regression
from ssl_cli.probes.runner import known_targets, run_probes
from ssl_cli.setup.plan import what_can_be_predicted

NAMES = ["a/1.png", "b/2.png"]


def read(tmp_path, text, names=NAMES, **options):
    file = tmp_path / "labels.csv"
    file.write_text(text)
    return read_targets(file, images(names), **options).values


def images(names):
    return [Image(name, f"/photos/{name}") for name in names]


def test_rows_are_matched_by_name_and_an_empty_cell_is_unknown(tmp_path):
    found = read(tmp_path, "file,age,who,weight\nb/2.png,3,x,\n./a/1.png,1.5,y,-2e1\nother.png,9,z,1\n")
    assert list(found) == ["age", "weight"]
    assert found["age"].tolist() == [1.5, 3]
    assert found["weight"][0] == -20 and torch.isnan(found["weight"][1])
    named = read(tmp_path, "age,name\n1,a/1.png\n2,b/2.png\n", file_column="name", columns=["age"])
    assert named["age"].tolist() == [1, 2]


@pytest.mark.parametrize(
    "text, options, said",
    [
        ("file,age\na/1.png,1\n", {}, ["no row for 1 of 2 images", "b/2.png"]),
        ("file,age\na/1.png,1\nb/2.png,2\na/1.png,3\n", {}, ["a/1.png twice", "lines 2 and 4"]),
        ("file,age\na/1.png,1\nb/2.png,old\n", {"columns": ["age"]}, ["line 3", "'old', not a number"]),
        ("file,age\na/1.png,1\nb/2.png,inf\n", {"columns": ["age"]}, ["line 3", "'inf'"]),
        (
            "file,age\na/1.png,1\nb/2.png,2o\nc.png,3\n",
            {"names": [*NAMES, "c.png"]},
            ["line 3", "'2o'", "target_columns"],
        ),
        ("file,age\na/1.png,1\nb/2.png,2\n", {"columns": ["aeg"]}, ["no column 'aeg'", "did you mean 'age'"]),
        ("file,age\na/1.png,1\nb/2.png,2\n", {"file_column": "fiel"}, ["no column 'fiel'", "did you mean 'file'"]),
        ("file,who\na/1.png,x\nb/2.png,y\n", {}, ["no column of numbers"]),
        ("file,age,age\na/1.png,1,2\n", {}, ["two columns called 'age'"]),
        ("file,age\na/1.png,1,5\n", {}, ["line 2", "3 cells", "header 2"]),
        ("", {}, ["needs a header", "semicolons or tabs"]),
        ("file;age\na/1.png;3,5\nb/2.png;4,5\n", {}, ["age ('3,5')", "decimal point"]),
        ("file;age\na/1.png;3,5\nb/2.png;4\n", {"columns": ["age"]}, ["line 2", "'3,5'", "decimal point"]),
        ("file,when\na/1.png,2024_01\nb/2.png,2024_02\n", {"columns": ["when"]}, ["line 2", "'2024_01'"]),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, text, options, said):
    with pytest.raises(UserError) as error:
        read(tmp_path, text, **options)
    assert all(part in str(error.value) for part in said), error.value


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="cannot read dataset.targets"):
        read_targets(tmp_path / "none.csv", images(NAMES))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_found(tmp_path, separator):
    rows = [["file", "age, in years; or so", "2019"], ["a/1.png", "1.5", "7"], ["b/2.png", "", "8"]]
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8-sig") as stream:
        csv.writer(stream, delimiter=separator).writerows([*rows, ["", "", ""], ["", "", ""]])
    found = read_targets(tmp_path / "t.csv", images(NAMES)).values
    assert list(found) == rows[0][1:] and found["2019"].tolist() == [7, 8]
    assert found[rows[0][1]][0] == 1.5 and torch.isnan(found[rows[0][1]][1])


def test_what_is_used_and_what_is_not_is_said(tmp_path):
    (tmp_path / "t.csv").write_text("file,age,who,empty\na/1.png,1,x,\nb/2.png,2,3,\nc/3.png,9,y,\nd/4.png,9,z,\n")
    note = read_targets(tmp_path / "t.csv", images(NAMES)).note
    assert "targets of t.csv: age" in note and "2 rows of other files" in note
    assert "left out, because most of their cells are not numbers: who ('x'), empty (empty)" in note


def test_large_numbers_keep_their_digits(tmp_path):
    found = read(tmp_path, "file,when\na/1.png,1764184000.25\nb/2.png,1764184001.5\n")["when"]
    assert found.tolist() == [1764184000.25, 1764184001.5]


def test_a_name_is_found_in_any_form_that_unicode_has(tmp_path):
    apart, together = "cafe\u0301.png", "caf\u00e9.png"
    assert read(tmp_path, f"file,age\n{together},1\n", names=[apart])["age"].tolist() == [1]
    both = read(tmp_path, f"file,age\n{together},1\n{apart},2\n", names=[apart, together])
    assert both["age"].tolist() == [2, 1]
    with pytest.raises(UserError, match=r"line 2 .* fits two images, 'cafe\\u0301.png' and 'caf\\xe9.png'"):
        read(tmp_path, f"file,age\n{together},1\n", names=[apart, together])


def test_names_that_are_no_utf8_are_matched_as_they_are_written_elsewhere(tmp_path):
    names = [os.fsdecode(b"caf\xe9.png"), os.fsdecode(b"caf\xe8.png"), "50%.png"]
    found = read(tmp_path, "file,age\n50%.png,3\ncaf%E9.png,1\ncaf%E8.png,2\n", names=names)
    assert found["age"].tolist() == [1, 2, 3]


def test_columns_that_look_like_numbers_are_names(tmp_path):
    for i in range(2):
        Picture.fromarray(np.full((8, 8), i, np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "t.csv").write_text("2018,2019,2020\n0.png,1,5\n1.png,2,6\n")
    for columns in (2019, [2019], "2019"):
        options = {"targets": str(tmp_path / "t.csv"), "target_columns": columns, "file_column": 2018, "reading": 2}
        data = folder.load(str(tmp_path), **options)
        assert list(data.factors) == ["2019"] and data.factors["2019"].tolist() == [1, 2]
    assert "targets of t.csv: 2019" in data.note
    assert what_can_be_predicted(SimpleNamespace(data=data)) == "2019"
    data.factors["2019"][0] = float("nan")
    assert what_can_be_predicted(SimpleNamespace(data=data)) == "2019 (1 unknown)"


def test_a_regression_of_seconds_since_1970_is_exact():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(300, 4, generator=generator)
    when = 1_764_184_000 + 20 * (features @ torch.tensor([1.0, -2.0, 0.5, 3.0])).double()
    assert (when.float().double() - when).std() > 0.3 * when.std()  # what float32 would make of it
    parts = {"train": range(200), "val": range(200, 250), "test": range(250, 300)}
    at = {name: torch.tensor(rows) for name, rows in parts.items()}
    data = ImageData("x", torch.zeros(300, 1, 8, 8, dtype=torch.uint8), torch.full((300,), -1), (), at, {"when": when})
    measured = run_probes({"m": lambda rows: features[rows]}, data, at["train"][:0], {"r": Regression()}, print)
    assert measured.rows[0]["mean"] == pytest.approx(1, abs=1e-4)
    assert measured.arrays["targets_when"].tolist() == when[at["test"]].tolist()
    assert np.abs(measured.arrays["m/regression/all/when"] - when[at["test"]].numpy()).max() < 1


def test_numbers_that_float32_holds_are_stored_so():
    assert smallest(torch.tensor([1.25, 80.1, float("nan")], dtype=torch.float64)).dtype == np.float32
    assert smallest(torch.tensor([float("nan")], dtype=torch.float64)).dtype == np.float32
    assert smallest(torch.tensor([1.7e9, 1.7e9 + 1], dtype=torch.float64)).tolist() == [1.7e9, 1.7e9 + 1]


def test_classes_named_by_months_are_no_numbers():
    classes = "2024_01", "2024_02"
    data = ImageData("x", torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.arange(2), classes, {})
    assert known_targets(data) == {}
