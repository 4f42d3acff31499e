"""Labels as people have them: tables in every dialect, beside images in every layout. No pixel is read."""

import pytest
from PIL import Image as Picture

from ssl_cli.data.images import folder
from ssl_cli.data.images.files.annotations import Columns, annotated
from ssl_cli.data.images.files.names import natural
from ssl_cli.errors import UserError


@pytest.fixture
def read(tmp_path):
    """Write a table beside images (empty files) and return (label, split) of each image, its group, and the note."""

    def make(table, *names, on_error="stop", layout="auto", test_root=None, **columns):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        file = tmp_path / "labels.csv"
        file.write_bytes(table if isinstance(table, bytes) else table.encode())
        root, tests = (tmp_path / "images", None) if test_root is None else (tmp_path / "images", tmp_path / test_root)
        found = annotated(root, layout, file, Columns(**columns), on_error, tests)
        entries = {name.removeprefix(f"{tmp_path}/"): (label, split) for name, label, split in found.entries}
        return {"entries": entries, "groups": found.groups, "note": found.note}

    return make


TRAIN = {"a.png": ("cat", "train"), "b.png": ("dog", "train"), "c.png": (None, "train")}
FLAT = ("images/a.png", "images/b.png", "images/c.png")
SUB = ("images/cats/1.png", "images/dogs/1.png", "images/dogs/2.png")


CASES = {
    "commas and LF": ("file,label\na.png,cat\nb.png,dog\n", FLAT, TRAIN),
    "a spreadsheet's: BOM, semicolons, CRLF, empty columns": (
        "\ufefffile;label;;\r\na.png;cat;;\r\nb.png;dog;;\r\n;;;\r\n",
        FLAT,
        TRAIN,
    ),
    "tabs, an empty cell, spaces": ("file\tlabel\n a.png\tcat \nb.png\tdog\nc.png\t\n", FLAT, TRAIN),
    "a separator that is said, old Mac line ends": ("sep=;\r\nfile;label\ra.png;cat\rb.png;dog\r", FLAT, TRAIN),
    "quotes, with separators and line ends in a cell": (
        'file,note,label\n"a.png","one, two\nthree","cat"\n"b.png","he said ""no""",dog\n',
        FLAT,
        TRAIN,
    ),
    "a data frame's: an unnamed index, the label first": (
        ",class,image_path\n0,cat,a.png\n1,dog,b.png\n2,,c.png\n",
        FLAT,
        TRAIN,
    ),
    "a competition's: ids without endings, folders that are splits": (
        "id,Class\n1,cat\n2,dog\n",
        ("images/train/1.jpg", "images/train/2.jpg", "images/train/4.jpg", "images/test/3.jpg"),
        {"train/1.jpg": ("cat", "train"), "train/2.jpg": ("dog", "train"), "train/4.jpg": (None, "train")},
    ),
    "paths of another machine": (
        "path,label\n/home/ann/data/cats/1.png,cat\n/home/ann/data/dogs/1.png,dog\n",
        SUB,
        {"cats/1.png": ("cat", "train"), "dogs/1.png": ("dog", "train"), "dogs/2.png": (None, "train")},
    ),
    "paths of Windows": (
        "Image Name,Category\nC:\\data\\cats\\1.png,cat\n.\\dogs\\1.png,dog\n",
        SUB,
        {"cats/1.png": ("cat", "train"), "dogs/1.png": ("dog", "train"), "dogs/2.png": (None, "train")},
    ),
    "bare names of images that lie deeper": (
        "filename,label\n7.png,cat\n8.png,dog\n",
        ("images/2023/7.png", "images/2024/may/8.png"),
        {"2023/7.png": ("cat", "train"), "2024/may/8.png": ("dog", "train")},
    ),
    "splits and groups in many words": (
        "file,label,Set,Patient ID\na.png,1,Training,p1\nb.png,2,TEST,p2\nc.png,2,train_set,p1\nd.png,1,Validation,\n",
        (*FLAT, "images/d.png", "images/e.png"),
        {
            "a.png": ("1", "train"),
            "b.png": ("2", "test"),
            "c.png": ("2", "train"),
            "d.png": ("1", "val"),
            "e.png": (None, "train"),
        },
    ),
    "a labelling tool's, with encoded paths": (
        "annotation_id,choice,id,image\n"
        "9,cat,1,/data/local-files/?d=photos/a%20b.png\n8,dog,2,/data/local-files/?d=photos/b.png\n",
        ("images/a b.png", "images/b.png"),
        {"a b.png": ("cat", "train"), "b.png": ("dog", "train")},
    ),
    "names that Unicode writes in two ways": (
        "file,label\ncafe\u0301.png,the\u0301\nb.png,th\u00e9\nc.png,x\n",
        ("images/caf\u00e9.png", "images/b.png", "images/c.png"),
        {"caf\u00e9.png": ("th\u00e9", "train"), "b.png": ("th\u00e9", "train"), "c.png": ("x", "train")},
    ),
    "the same row twice, and one that is not labelled yet": (
        "file,label\na.png,cat\na.png,cat\na.png,\nb.png,dog\n",
        FLAT,
        TRAIN,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_dialect_or_layout(read, case):
    table, names, right = CASES[case]
    assert read(table, *names)["entries"] == right


def test_what_was_taken_and_how_much_there_is_is_said(read):
    found = read(
        "id;Class;Patient\n1;cat;p1\n2;dog;p1\n3;;p2\n4;dog;\n",
        *(f"images/{i}.png" for i in range(1, 7)),
    )
    assert found["groups"] == {"1.png": "p1", "2.png": "p1", "3.png": "p2"}
    for said in (
        "labels of labels.csv: 4 rows, files in column id, labels in column Class, groups in column Patient",
        "3 of 6 images with a label, 2 without a row, 1 with an empty cell",
        "2 groups, 3 images without one",
        "file names read without endings",
    ):
        assert said in found["note"]


def test_columns_are_chosen(read):
    table = "photo,label,species,day\na.png,1,cat,test\nb.png,2,dog,train\nc.png,3,cat,\n"
    assert read(table, *FLAT, label="species")["entries"]["c.png"] == ("cat", "train")
    chosen = read(table, *FLAT, label="species", split="day", on_error="skip", file="photo")
    assert "splits in column day" in chosen["note"]
    with_set = table.replace("day", "set")
    assert read(with_set, *FLAT, split="none")["entries"]["a.png"] == ("1", "train")


def test_numbers_in_the_names_of_classes_are_ordered_as_numbers(tmp_path):
    assert sorted(["10", "2", "1", "img2b", "img10a", "02"], key=natural) == ["1", "02", "2", "10", "img2b", "img10a"]
    rows = [(f"{i}.png", str(i)) for i in (10, 2, 1)]
    for name, label in rows:
        Picture.new("L", (8, 8), int(label)).save(tmp_path / name)
    (tmp_path / "t.csv").write_text("file,label\n" + "\n".join(map(",".join, rows)))
    data = folder.load(str(tmp_path), labels_file=str(tmp_path / "t.csv"), reading=3)
    assert data.classes == ("1", "2", "10")
    assert [data.classes[y] for y in data.labels] == [str(int(image.max())) for image in data.images]


def test_folders_of_a_run_of_earlier_rules_keep_the_order_of_their_classes(tmp_path):
    for name in ("1", "2", "10"):
        (tmp_path / name).mkdir()
        Picture.new("L", (8, 8)).save(tmp_path / name / "x.png")
    assert folder.load(str(tmp_path), reading=3).classes == ("1", "2", "10")
    for earlier in (1, 2):
        assert folder.load(str(tmp_path), reading=earlier).classes == ("1", "10", "2")


TESTS = ("images/1.png", "images/2.png", "photos/1.png", "photos/2.png")


def test_test_images_may_be_elsewhere_under_the_same_names(read):
    rows = "file,label,split\n1.png,cat,train\n2.png,dog,train\n1.png,dog,test\n2.png,cat,test\n"
    right = {
        "1.png": ("cat", "train"),
        "2.png": ("dog", "train"),
        "photos/1.png": ("dog", "test"),
        "photos/2.png": ("cat", "test"),
    }
    assert read(rows, *TESTS, test_root="photos")["entries"] == right
    paths = "file,label\nimages/1.png,cat\nimages/2.png,dog\nphotos/1.png,dog\nphotos/2.png,cat\n"
    again = read(paths, test_root="photos")
    assert again["entries"] == right and "file names read as the end of paths" in again["note"]
    with pytest.raises(UserError, match="2 rows that fit several images"):
        read("file,label\n1.png,cat\n2.png,dog\n", test_root="photos")


def test_test_images_elsewhere_of_classes_that_are_folders(tmp_path):
    for name in ("images/cat/1.png", "images/dog/1.png", "images/held out/dog/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Picture.new("L", (8, 8), 9).save(tmp_path / name)
    root, tests = str(tmp_path / "images"), str(tmp_path / "images/held out")
    data = folder.load(root, test_root=tests, reading=3)
    assert data.classes == ("cat", "dog") and data.labels[data.splits["test"]].tolist() == [1]
    assert {len(at) for at in data.splits.values()} == {1, 2}
    with pytest.raises(UserError, match=r"dataset.root=.* lies in dataset.test_root=.* would be tested on"):
        folder.load(tests, test_root=root, reading=3)
    (tmp_path / "images/train/cat").mkdir(parents=True)
    (tmp_path / "images/test/cat").mkdir(parents=True)
    for split in ("train", "test"):
        Picture.new("L", (8, 8)).save(tmp_path / f"images/{split}/cat/1.png")
    with pytest.raises(UserError, match="has a test split, and dataset.test_root=.* leave one out"):
        folder.load(root, layout="splits", test_root=tests, reading=3)


SLIPS = (
    "file,label,split,group\n"
    "a.png,cat,train,p1\nb.png,dog,train,p2\n"
    "gone.png,cat,train,p3\n"  # no image
    "c.png,cat,train,p4\nc.png,dog,train,p4\n"  # unlike
    "d.png,cat|dog,train,p5\n"  # several labels
    "e.png,owl,test,p6\n"  # train has no owl
    "f.png,dog,test,p2\n"  # p2 is in train, too
    "g.png,cat,val,p7\n"
)


def test_slips_are_counted_and_named_and_refused_or_left_out(read):
    names = [f"images/{name}.png" for name in "abcdefg"]
    said = (
        "1 row of no image: gone.png (line 4)",
        "1 image whose rows differ: c.png (label cat in line 5 or dog in line 6)",
        "1 cell with several labels (there is one label an image): 'cat|dog' (line 7)",
        "1 image of val or test with a class that train does not have: e.png (owl, in test)",
        "1 group in several splits: p2 (test, train)",
    )
    with pytest.raises(UserError, match="dataset.on_error=skip") as refused:
        read(SLIPS, *names)
    assert all(text in str(refused.value) for text in said) and "\n" not in str(refused.value)
    allowed = read(SLIPS + "x.png,dog,train,p9\n", *names, "images/x.png", on_error="skip")
    assert all(text in allowed["note"] for text in said)
    assert allowed["entries"] == {
        "a.png": ("cat", "train"),
        "f.png": ("dog", "test"),
        "g.png": ("cat", "val"),
        "x.png": ("dog", "train"),
    }


def test_a_row_that_fits_two_images_is_named(read):
    with pytest.raises(UserError, match=r"1 row that fits several images: 1.png \(line 2\): cats/1.png, dogs/1.png"):
        read("file,label\n1.png,cat\n2.png,dog\n", *SUB)


@pytest.mark.parametrize(
    ("labels", "several"),
    [
        (["cat|dog", "x"], "cat|dog"),
        (["cat;dog", "x"], "cat;dog"),
        (["['cat', 'dog']", "x"], "['cat', 'dog']"),
        (["cat, dog", "cat", "dog"], "cat, dog"),
        (["owl, snowy", "owl, barn"], None),
        (["a/b", "a", "b"], None),
        (["(other)", "x"], None),
    ],
)
def test_several_labels_in_a_cell(read, labels, several):
    table = "file\tlabel\n" + "".join(f"{i}.png\t{label}\n" for i, label in enumerate(labels))
    names = [f"images/{i}.png" for i in range(len(labels))]
    if several is None:
        assert [label for label, _ in read(table, *names)["entries"].values()] == labels
    else:
        with pytest.raises(UserError) as refused:
            read(table, *names)
        assert f"one label an image): '{several}' (line 2)" in str(refused.value)


def test_classes_that_differ_in_capitals_only_are_named(read):
    assert (
        "classes that differ in capitals only: Cat and cat" in read("file,label\na.png,cat\nb.png,Cat\n", *FLAT)["note"]
    )


@pytest.mark.parametrize(
    ("table", "options", "said"),
    [
        ("file,label\na.png,caf\u00e9\n".encode("cp1252"), {}, ["E9 in line 2", "Windows-1252", "'a.png,caf\u00e9'"]),
        ("file,label\na.png,cat\n".encode("utf-16"), {}, ["is UTF-16", "iconv -f UTF-16 -t UTF-8"]),
        ("file,label\na.png,cat\n".encode("utf-16-be"), {}, ["is UTF-16"]),
        (b"PK\x03\x04rest", {}, ["a workbook of a spreadsheet", "save it as CSV"]),
        ("file,breed\na.png,cat\n", {}, ["no column of labels by a usual name", "dataset.label_column=NAME", "breed"]),
        ("file,label,class\na.png,1,cat\n", {}, ["has the columns label, class", "write dataset.label_column=label"]),
        ("file,label,my set,set\na.png,1,x,y\n", {"split": "my sat"}, ["no column 'my sat'", "did you mean 'my set'"]),
        ("file,label,site,patient\na.png,1,s,p\n", {}, ["dataset.group_column=patient, or dataset.group_column=none"]),
        ("file,label,split\na.png,1,fold3\n", {}, ["line 2", "split is 'fold3'", "dataset.split_column=none"]),
        ("file,label\nx.png,cat\n", {}, ["no row of", "the first says 'x.png'", "first image is a.png"]),
        ("file,label\na.png,cat\n", {"layout": "classes"}, ["dataset.layout=classes takes labels from folders"]),
        ("file,label,set\na.png,1,val\n", {"layout": "splits"}, ["dataset.layout=splits takes splits from folders"]),
        ("file\na.png\n", {}, ["needs a header such as file,label"]),
    ],
)
def test_what_is_wrong_with_a_table_is_said_in_a_line(read, table, options, said):
    with pytest.raises(UserError) as refused:
        read(table, *FLAT, **options)
    assert all(text in str(refused.value) for text in said), refused.value
    assert "\n" not in str(refused.value)


def test_folders_that_could_be_splits_are_asked_about(read):
    table = "file,label\na.png,cat\nb.png,dog\n"
    with pytest.raises(
        UserError, match=r"write dataset.layout=splits .*, or dataset.layout=flat \(no folder is a split"
    ):
        read(table, "images/train/a.png", "images/test/b.png", "images/new/c.png")
    assert len(read(table, layout="flat")["entries"]) == 3


def test_columns_need_a_table(tmp_path):
    Picture.new("L", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="dataset.group_column is of a table of labels; write dataset.labels_file=FILE"):
        folder.load(str(tmp_path), group_column="patient", reading=3)
    with pytest.raises(UserError, match="dataset.reading=1"):
        folder.load(str(tmp_path), labels_file="t.csv")
    with pytest.raises(UserError, match=r"cannot read dataset.labels_file=.*t.csv: No such file"):
        folder.load(str(tmp_path), labels_file=str(tmp_path / "t.csv"), reading=3)
