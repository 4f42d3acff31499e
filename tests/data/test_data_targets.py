import pytest
import torch

from ssl_cli.data.images.files.targets import read_targets
from ssl_cli.errors import UserError

NAMES = ["a/1.png", "b/2.png"]


def read(tmp_path, text, names=NAMES, **options):
    file = tmp_path / "labels.csv"
    file.write_text(text)
    return read_targets(file, names, **options)


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
        ("", {}, ["needs a header"]),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, text, options, said):
    with pytest.raises(UserError) as error:
        read(tmp_path, text, **options)
    assert all(part in str(error.value) for part in said), error.value


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="cannot read dataset.targets"):
        read_targets(tmp_path / "none.csv", NAMES)
