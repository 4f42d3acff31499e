import gzip
import hashlib
import pickle
import struct
import urllib.request
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_cli.data.images.torchvision_sets import SETS, load
from ssl_cli.errors import UserError

torchvision = pytest.importorskip("torchvision.datasets")
RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def _md5(path):
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _fake_cifar10(root, monkeypatch):
    """Write two training batches of 4 images and a test batch of 3, in the format of the original."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    pixels = {name: RANDOM.integers(0, 256, (n, 3072), dtype=np.uint8) for name, n in (("a", 4), ("b", 4), ("t", 3))}
    for name, data in pixels.items():
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": list(range(len(data)))}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class{i}" for i in range(10)]}))
    kind = torchvision.CIFAR10
    monkeypatch.setattr(kind, "train_list", [[name, _md5(folder / name)] for name in "ab"])
    monkeypatch.setattr(kind, "test_list", [["t", _md5(folder / "t")]])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": _md5(folder / "batches.meta")})
    return pixels


def test_cifar10(tmp_path, monkeypatch):
    pixels = _fake_cifar10(tmp_path, monkeypatch)
    data = load("cifar10", str(tmp_path))
    expected = np.concatenate(list(pixels.values())).reshape(-1, 3, 32, 32)
    assert np.array_equal(data.images, expected)
    assert data.labels.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2]
    assert {name: rows.tolist() for name, rows in data.splits.items()} == {"train": list(range(8)), "test": [8, 9, 10]}
    assert data.classes[3] == "class3"
    assert load("cifar10", str(tmp_path), storage_size=16).images.shape == (11, 3, 16, 16)


def test_a_damaged_file_is_no_traceback(tmp_path, monkeypatch):
    _fake_cifar10(tmp_path, monkeypatch)
    (tmp_path / "cifar-10-batches-py/b").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"corrupted.*dataset\.download=true"):
        load("cifar10", str(tmp_path), download=False)


def _idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def test_mnist_from_archives_put_there_by_hand(tmp_path, monkeypatch):
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    images = RANDOM.integers(0, 256, (5, 28, 28), dtype=np.uint8)
    resources = []
    for part, rows in (("train", slice(0, 3)), ("t10k", slice(3, 5))):
        labels = np.arange(5, dtype=np.uint8)[rows]
        for name, array in ((f"{part}-images-idx3-ubyte", images[rows]), (f"{part}-labels-idx1-ubyte", labels)):
            (raw / f"{name}.gz").write_bytes(gzip.compress(_idx(array)))
            resources.append((f"{name}.gz", _md5(raw / f"{name}.gz")))
    monkeypatch.setattr(torchvision.MNIST, "resources", resources)
    with pytest.raises(UserError, match=r"write dataset\.download=true; to fetch nothing, first put MNIST/raw/train"):
        load("mnist", str(tmp_path), download=False)  # torchvision unpacks only what it may fetch
    data = load("mnist", str(tmp_path))
    assert np.array_equal(data.images[:, 0], images)
    assert data.labels.tolist() == [0, 1, 2, 3, 4]
    assert data.splits["test"].tolist() == [3, 4]
    assert not list(tmp_path.glob(".partial-*"))

    (raw / "train-images-idx3-ubyte").write_bytes(b"cut off")  # unpacked, then damaged: unpacked again
    assert np.array_equal(load("mnist", str(tmp_path)).images[:, 0], images)


def test_svhn_and_stl10(tmp_path, monkeypatch):
    import scipy.io

    images = RANDOM.integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    split_list = {}
    for split in ("train", "test"):
        scipy.io.savemat(tmp_path / f"{split}.mat", {"X": images, "y": np.array([[1], [10], [3], [9]], np.uint8)})
        split_list[split] = [f"http://x/{split}.mat", f"{split}.mat", _md5(tmp_path / f"{split}.mat")]
    monkeypatch.setattr(torchvision.SVHN, "split_list", split_list)
    data = load("svhn", str(tmp_path))
    assert np.array_equal(data.images[:4], images.transpose(3, 2, 0, 1))
    assert data.labels.tolist() == [1, 0, 3, 9] * 2
    assert data.classes == tuple("0123456789")

    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    pixels = RANDOM.integers(0, 256, (6, 3, 96, 96), dtype=np.uint8)
    parts = {"train_X": pixels[:2], "unlabeled_X": pixels[2:4], "test_X": pixels[4:]}
    parts |= {"train_y": np.array([1, 10], np.uint8), "test_y": np.array([2, 3], np.uint8)}
    for name, array in parts.items():
        (folder / f"{name}.bin").write_bytes((array.transpose(0, 1, 3, 2) if array.ndim == 4 else array).tobytes())
    (folder / "class_names.txt").write_text("\n".join("abcdefghij"))
    sums = {name: [f"{name}.bin", _md5(folder / f"{name}.bin")] for name in parts}
    monkeypatch.setattr(torchvision.STL10, "train_list", [sums["train_X"], sums["train_y"], sums["unlabeled_X"]])
    monkeypatch.setattr(torchvision.STL10, "test_list", [sums["test_X"], sums["test_y"]])
    data = load("stl10", str(tmp_path))
    assert np.array_equal(data.images, pixels)
    assert data.labels.tolist() == [0, 9, -1, -1, 1, 2]
    assert data.splits["test"].tolist() == [4, 5]

    (folder / "fold_indices.txt").write_text("\n".join(["0 ", "1 ", "1 0 "]))  # of two training images
    labels = [load("stl10", str(tmp_path), fold=fold).labels.tolist() for fold in range(3)]
    assert labels == [[0, -1, -1, -1, 1, 2], [-1, 9, -1, -1, 1, 2], [0, 9, -1, -1, 1, 2]]
    with pytest.raises(UserError, match=r"dataset.fold=3 cannot be read from .*fold_indices.txt"):
        load("stl10", str(tmp_path), fold=3)
    with pytest.raises(UserError, match="write dataset.fold=0 to 9"):
        load("stl10", str(tmp_path), fold=10)


def test_eurosat(tmp_path):
    for i, label in enumerate(("Forest", "River")):
        (tmp_path / "eurosat/2750" / label).mkdir(parents=True)
        Image.new("RGB", (64, 64), (i, 0, 0)).save(tmp_path / "eurosat/2750" / label / "1.png")
    data = load("eurosat", str(tmp_path))
    assert data.images.shape == (2, 3, 64, 64)
    assert data.classes == ("Forest", "River")
    assert data.images[:, 0, 0, 0].tolist() == [0, 1]
    assert list(data.splits) == ["train"]


@pytest.mark.parametrize("name", SETS)
def test_without_network_one_line_says_what_to_put_where(tmp_path, name):
    with pytest.raises(UserError, match=f"{name} is not in .* and cannot be downloaded .*no network") as error:
        load(name, str(tmp_path / "sets"))
    message = str(error.value)
    assert "\n" not in message
    assert str(tmp_path / "sets") in message
    archive = {"stl10": "stl10_binary.tar.gz", "svhn": "test_32x32.mat", "eurosat": "eurosat/EuroSAT.zip"}.get(name)
    assert (
        archive or {"mnist": "MNIST/raw/t10k-labels-idx1-ubyte.gz", "cifar10": "cifar-10-python.tar.gz"}.get(name, "")
    ) in message
    assert not list((tmp_path / "sets").iterdir())


def test_a_download_that_is_cut_off_leaves_nothing(tmp_path, monkeypatch):
    def cut_off(self):
        folder = tmp_path / self.root / "eurosat/2750/Forest"
        folder.mkdir(parents=True)
        Image.new("RGB", (64, 64)).save(folder / "1.png")
        raise OSError("connection lost")

    monkeypatch.setattr(torchvision.EuroSAT, "download", cut_off)
    for _ in range(2):
        with pytest.raises(UserError, match="connection lost"):
            load("eurosat", str(tmp_path))
        assert not list(tmp_path.iterdir())


def test_unlabelled_images_of_stl10_stay_in_train():
    from ssl_cli.data.splits import complete

    labels = torch.tensor([0, 1] * 10 + [-1] * 30 + [0, 1])
    splits = complete(labels, {"train": torch.arange(50), "test": torch.arange(50, 52)}, 0.1, 0.2, 0)
    assert (len(splits["train"]), len(splits["val"])) == (48, 2)
