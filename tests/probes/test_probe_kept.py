"""The baselines' scores are kept between commands: equal ones come back, and never those of anything else."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from experiments import image_info

from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.data.images.base import ImageData
from ssl_cli.probes import kept as module
from ssl_cli.probes.frozen.subject import FrozenModel
from ssl_cli.probes.kept import KeptScores
from ssl_cli.probes.knn import KNN
from ssl_cli.probes.linear import Linear
from ssl_cli.probes.propagate import Propagate
from ssl_cli.probes.retrieval import Retrieval
from ssl_cli.probes.runner import run_probes

SETTINGS = {"_target_": "ConvNet", "widths": [4, 4]}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "ssl/baselines"


@pytest.fixture
def data():
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    images = torch.randint(0, 100, (60, 1, 8, 8), dtype=torch.uint8, generator=g)
    images[torch.arange(60), 0, 2 * labels] += 60
    images[50] = images[0]  # of test, and in train
    splits = {"train": torch.arange(30), "val": torch.arange(30, 40), "test": torch.arange(40, 60)}
    return ImageData("bars", images, labels, ("a", "b", "c"), splits, factors={"height": torch.arange(60.0)})


def network(seed=0):
    torch.manual_seed(seed)
    return ConvNet(1, widths=(4, 4))


def measured(data, *, probes=None, labelled=None, info=None, settings=None, net=None, facts=("cpu",)):
    """Return the measurement, and which baselines were scored in an earlier run."""
    info = info or image_info()
    own = network(1)
    nets = {"pixels": data.raw(info), "random": net or network(), "simclr": own}
    models = {name: FrozenModel(n, data.inputs, info, torch.device("cpu")) for name, n in nets.items()}
    labelled = data.splits["train"] if labelled is None else labelled
    kept = KeptScores(data, info, labelled, facts, settings or SETTINGS)
    probes = probes or {"knn": KNN()}
    return run_probes(models, data, labelled, probes, lambda line: None, kept=kept), kept.earlier


def test_what_comes_back_is_what_was_computed(data):
    probes = {"knn": KNN(), "linear": Linear(labels=["all", "2/class"], draws=2, penalties=[0.01, 0.1])}
    probes |= {"propagate": Propagate(labels=["2/class"], draws=2), "retrieval": Retrieval()}
    first, none = measured(data, probes=probes)
    second, earlier = measured(data, probes=probes)
    assert none == [] and earlier == ["pixels", "random"]
    assert second.rows == first.rows and list(second.rows[0]) == list(first.rows[0])
    assert any(row["without_copies"]["mean"] != row["mean"] for row in first.rows)
    assert set(second.arrays) == set(first.arrays)
    for name, array in first.arrays.items():
        assert array.dtype == second.arrays[name].dtype and np.array_equal(array, second.arrays[name])
    own = {name for name in first.heads if name.startswith("simclr/")}
    assert own == set(second.heads) and set(second.spread) == set(first.spread) == {"2/class"}


def test_the_trained_model_is_always_measured(data, monkeypatch):
    measured(data)
    seen = []
    monkeypatch.setattr(FrozenModel, "__call__", lambda self, at: seen.append(self) or self.of(self.inputs, at))
    measured(data)
    assert len({id(model) for model in seen}) == 1


CHANGES = {
    "one pixel": lambda d: {"data": replace(d, images=d.images.clone().index_fill_(0, torch.tensor([35]), 7))},
    "a label": lambda d: {"data": replace(d, labels=d.labels.clone().index_fill_(0, torch.tensor([45]), 1))},
    "a target": lambda d: {"data": replace(d, factors={"height": torch.arange(60.0) * 2})},
    "the splits": lambda d: {"data": replace(d, splits={**d.splits, "test": torch.arange(41, 60)})},
    "the labels that may be used": lambda d: {"labelled": torch.arange(20)},
    "the probe": lambda d: {"probes": {"knn": KNN(temperature=0.1)}},
    "another probe of that name": lambda d: {"probes": {"knn": Retrieval()}},
    "the normalisation": lambda d: {"info": image_info(mean=(0.4,))},
    "the device": lambda d: {"facts": ("cuda",)},
}


@pytest.mark.parametrize("change", CHANGES)
def test_scores_of_anything_else_are_not_taken(data, change):
    measured(data)
    given = {"data": data, **CHANGES[change](data)}
    assert measured(given.pop("data"), **given)[1] == []


def test_scores_of_another_network_are_not_taken_and_those_of_the_pixels_are(data):
    measured(data)
    assert measured(data, settings={**SETTINGS, "norm": "group"})[1] == ["pixels"]
    assert measured(data, net=network(2))[1] == ["pixels"]


def test_scores_by_other_code_or_libraries_are_not_taken(data, monkeypatch):
    measured(data)
    monkeypatch.setattr(module, "code", lambda: "other")
    assert measured(data)[1] == []
    assert measured(data)[1] == ["pixels", "random"]
    monkeypatch.setattr(module, "versions", lambda: {"torch": "0.1"})
    assert measured(data)[1] == []


def test_nothing_is_kept_of_what_is_not_known_for_sure(data, place):
    class OwnProbe(KNN):
        pass

    class OwnNetwork(ConvNet):
        pass

    class Looks(KNN):
        features_alone = False

    Looks.__module__ = "ssl_cli.probes.looks"
    measured(data, probes={"knn": OwnProbe(), "looks": Looks()})
    assert not place.exists()
    measured(data, net=OwnNetwork(1, widths=(4, 4)))
    assert len(list(place.iterdir())) == 1  # of the pixels


def test_a_damaged_file_counts_for_nothing_and_is_replaced(data, place):
    first, _ = measured(data)
    for file in place.iterdir():
        payload = bytearray(file.read_bytes())
        payload[len(payload) // 2] ^= 1
        file.write_bytes(payload)
    again, earlier = measured(data)
    assert earlier == [] and again.rows == first.rows
    assert measured(data)[1] == ["pixels", "random"]


def test_the_least_recently_used_leave_first(data, place, monkeypatch):
    measured(data)
    size = max(file.stat().st_size for file in place.iterdir())
    monkeypatch.setattr(module, "LIMIT", 3 * size)
    measured(data, probes={"knn": KNN(k=3)})
    assert sum(file.stat().st_size for file in place.iterdir()) <= 3 * size
    assert measured(data, probes={"knn": KNN(k=3)})[1] == ["pixels", "random"]


def test_a_place_that_cannot_be_written_is_no_error(data, place):
    place.parent.mkdir()
    place.write_text("a file")
    assert measured(data)[1] == [] and measured(data)[1] == []
