"""A run's own inputs are known again where they have moved; nothing that it was trained on is tested on."""

import hashlib
import json
import os
import random
import shutil

import pytest
import torch
from experiments import composed
from omegaconf import OmegaConf
from PIL import Image as Picture

from ssl_cli.data.dataset import load
from ssl_cli.data.describe import describe
from ssl_cli.errors import UserError
from ssl_cli.setup.own_inputs import FILE, below, content, files_by_split, own_inputs, stored_node, without_trained


def names(data, split):
    return {data.files[i].rpartition("/")[2] + data.files[i].rpartition("/")[0][-3:] for i in data.splits[split]}


@pytest.fixture
def seen(image_folder, tmp_path):
    """A run's settings of its data set, what it knew of that, the images, and its directory."""
    config = composed("train", ["dataset=folder", f"dataset.root={image_folder}", "dataset.split_seed=5"])
    node = OmegaConf.to_container(config.dataset, resolve=True)
    data = load(node)
    run = tmp_path / "run"
    run.mkdir()
    (run / FILE).write_text(json.dumps(files_by_split(data, node["root"])))
    return node, describe(data, config.dataset)[0], data, run


@pytest.mark.parametrize("size", [0, 1, 4096, 12288, 12289, 100_000])
def test_a_file_is_known_by_its_bytes_and_three_pieces_however_it_is_read(tmp_path, size):
    written = random.Random(size).randbytes(size)
    (tmp_path / "a").write_bytes(written)
    pieces = (written[start : start + 4096] for start in (0, size // 2, max(size - 4096, 0)))
    assert content(str(tmp_path / "a")) == f"{size}-{hashlib.sha256(b''.join(pieces)).hexdigest()[:16]}"


@pytest.mark.parametrize("root", ["here", "here/", "./here", "here/../here", "/", "elsewhere"])
def test_names_below_a_root_are_relative_to_it_however_it_is_typed(root):
    for file in ("here/a/1.png", "./here/a/1.png", "here//a/1.png", "hereafter/1.png"):
        assert below(root, None, file) == os.path.relpath(file, root)


def test_moved_and_renamed_it_has_its_splits(seen, image_folder, tmp_path):
    node, info, before, run = seen
    shutil.move(image_folder, tmp_path / "new, place=1")
    after, note = own_inputs(stored_node(node, run, str(tmp_path / "new, place=1")), info, run)
    assert note == "" and all(names(after, split) == names(before, split) for split in before.splits)


def test_where_some_are_gone_and_some_are_new_the_rest_has_its_splits(seen, image_folder):
    node, info, before, run = seen
    (image_folder / "ant/3.png").unlink()
    shutil.copy(image_folder / "ant/1.png", image_folder / "ant/new.png")
    after, note = own_inputs(node, info, run)
    assert "1 of its 36 images are gone, and 1 new ones are left out" in note
    for split in before.splits:
        assert names(after, split) == names(before, split) - {"3.pngant"}


def test_other_images_of_the_same_names_are_not_its_own(seen, image_folder):
    node, info, _, run = seen
    shutil.copy(image_folder / "bee/3.png", image_folder / "ant/3.png")
    with pytest.raises(UserError, match="1 of the 36 images .* another content .ant/3.png"):
        own_inputs(node, info, run)


def test_of_an_older_run_the_seed_says_which_they_are(seen, image_folder, tmp_path):
    node, info, before, run = seen
    (run / FILE).unlink()
    (run / "env.json").write_text(json.dumps({"directory": str(tmp_path)}))
    relative = stored_node({**node, "root": "images"}, run, None)
    after, note = own_inputs(relative, info, run)
    assert note == "" and names(after, "test") == names(before, "test")
    (image_folder / "ant/3.png").unlink()
    with pytest.raises(UserError, match="ssl probe ckpt=.*run dataset=folder dataset.root="):
        own_inputs(relative, info, run)


@pytest.mark.parametrize("older", [False, True])
def test_what_was_trained_on_is_not_tested_on(seen, older):
    node, info, before, run = seen
    if older:
        (run / FILE).unlink()
    carved = load({**node, "split_seed": 0})  # as dataset=folder dataset.root=DIR carves it
    trained = names(carved, "test") & names(before, "train")
    assert trained
    left, note = without_trained(carved, node, info, run)
    assert f"{len(trained)} of the {len(carved.splits['test'])} test images" in note
    assert names(left, "test") == names(carved, "test") - trained


def test_an_image_is_known_under_another_name_and_others_of_its_name_and_size_are_not(seen, image_folder):
    node, info, before, run = seen
    (image_folder / "new").mkdir()
    trained = [before.files[i] for i in before.splits["train"].tolist()]
    renamed, other = image_folder / "new/renamed.png", image_folder / "new" / trained[1].rpartition("/")[2]
    shutil.copy(trained[0], renamed)
    pixels = bytearray(image_folder.joinpath(trained[1]).read_bytes())
    other.write_bytes(bytes(pixels[:-3] + b"end"))
    data = type(before)(
        **{**vars(before), "files": (str(renamed), str(other)), "splits": {"test": torch.tensor([0, 1])}}
    )
    left, note = without_trained(data, node, info, run)
    assert left.splits["test"].tolist() == [1] and "1 of the 2 test images" in note


def test_where_all_were_trained_on_there_is_nothing_to_test_on(seen):
    node, info, before, run = seen
    swapped = type(before)(**{**vars(before), "splits": {**before.splits, "test": before.splits["train"][:3]}})
    with pytest.raises(UserError, match=r"all 3 test images .* ssl probe ckpt=\S+ dataset.root="):
        without_trained(swapped, node, info, run)


@pytest.fixture
def of_table(tmp_path):
    """The same of images whose labels stand in a table beside them, and whose test images are in another folder."""
    rows = ["file,label,patient"]
    for i in range(24):
        for place in ("photos", "tests") if i < 6 else ("photos",):
            (tmp_path / "data" / place).mkdir(parents=True, exist_ok=True)
            Picture.new("RGB", (8, 8), (i, 9, 20 + (place == "tests"))).save(tmp_path / f"data/{place}/{i}.png")
            rows.append(f"{place}/{i}.png,{'ant' if i % 3 else 'bee'},{place}{i // 3}")
    (tmp_path / "data/t.csv").write_text("\n".join(rows))
    places = (f"dataset.{key}={tmp_path}/data/{name}" for key, name in PLACES.items())
    config = composed("train", ["dataset=folder", "dataset.storage_size=8", *places])
    node = OmegaConf.to_container(config.dataset, resolve=True)
    data, run = load(node), tmp_path / "run"
    run.mkdir()
    (run / FILE).write_text(json.dumps(files_by_split(data, node["root"], node["test_root"])))
    return node, describe(data, config.dataset)[0], data, run


PLACES = {"root": "photos", "test_root": "tests", "labels_file": "t.csv"}


def test_a_table_and_test_images_that_moved_along_are_found(of_table, tmp_path):
    node, info, before, run = of_table
    kept = json.loads((run / FILE).read_text())
    assert "dataset.test_root/0.png" in kept["test"] and "0.png" in {**kept["train"], **kept["val"]}
    shutil.move(tmp_path / "data", tmp_path / "new")
    found = stored_node(node, run, str(tmp_path / "new/photos"))
    assert {key: found[key] for key in PLACES} == {key: f"{tmp_path}/new/{name}" for key, name in PLACES.items()}
    after, note = own_inputs(found, info, run)
    assert note == "" and all(names(after, split) == names(before, split) for split in before.splits)


def test_a_table_that_moved_elsewhere_is_named(of_table, tmp_path):
    node, info, before, run = of_table
    shutil.move(tmp_path / "data/t.csv", tmp_path / "u.csv")
    with pytest.raises(UserError, match=r"cannot read dataset.labels_file=.*write dataset.labels_file=FILE.csv"):
        own_inputs(stored_node(node, run, None), info, run)
    found = stored_node(node, run, None, labels_file=str(tmp_path / "u.csv"))
    assert own_inputs(found, info, run)[1] == ""
    with pytest.raises(UserError, match="data set has no labels_file; leave dataset.labels_file out"):
        stored_node({**node, "labels_file": None}, run, None, labels_file="u.csv")


def test_where_images_of_a_table_are_gone_and_labels_have_changed_the_rest_has_its_splits(of_table, tmp_path):
    node, info, before, run = of_table
    file = tmp_path / "data/t.csv"
    file.write_text(file.read_text().replace("photos/7.png,ant", "photos/7.png,bee"))
    after, note = own_inputs(node, info, run)
    assert "the run's own splits by file name: not all labels are as they were" in note
    assert all(names(after, split) == names(before, split) for split in before.splits)
    (tmp_path / "data/photos/9.png").unlink()
    after, note = own_inputs(node, info, run)
    assert "1 of its 30 images are gone, and 0 new ones are left out" in note
    assert names(after, "test") == names(before, "test")


def test_a_run_is_used_from_another_directory_and_after_a_move(ssl, image_folder):
    small = ("trainer.epochs=1", "trainer.batch_size=8", "dataset.storage_size=16")
    small += ("~probes.linear", "~probes.propagate")
    done = ssl("train", "dataset=folder", "dataset.root=images", *small, "hydra.run.dir=a run,1")
    assert done.status == 0, done.err
    stored = OmegaConf.load(ssl.cwd / "a run,1/config.yaml")
    assert stored.dataset.root == str(image_folder)
    shutil.move(image_folder, ssl.cwd / "moved=1")
    gone = ssl("probe", "ckpt=a run,1", "probe=knn")
    assert gone.status == 2 and "does not exist; write dataset.root=DIR" in gone.err
    probed = ssl("probe", "ckpt=a run,1", "probe=knn", "dataset.root=moved=1")
    assert probed.status == 0, probed.err
    resumed = ssl("train", "resume=a run,1", "dataset.root=moved=1", "trainer.epochs=2")
    assert resumed.status == 0, resumed.err
    other = ssl("probe", "ckpt=a run,1", "probe=knn", "dataset=folder", "dataset.root=moved=1", "dataset.split_seed=3")
    assert other.status == 0 and "were trained on by the run: they are left out" in other.out, other.err


def test_texts_in_one_file_are_brought_back_by_it(tmp_path):
    node = {"file": "old.csv", "root": None, "labels": "all"}
    assert stored_node(node, tmp_path, None, file=str(tmp_path / "t.csv"))["file"] == str(tmp_path / "t.csv")
    with pytest.raises(UserError, match=r"in one file; write dataset\.file=FILE for dataset\.root=here"):
        stored_node(node, tmp_path, "here")
    for other in ({"root": "here"}, {"file": None, "root": "here"}):
        with pytest.raises(UserError, match="the run's data set has no file"):
            stored_node(other, tmp_path, None, file="t.csv")
