"""Where test images are in train, too, every result has a second number without them."""

import io

import pytest
import torch
from rich.console import Console
from test_probe_evaluate import stripes

from ssl_cli.compare.table import print_table
from ssl_cli.data.images.raw import pixels
from ssl_cli.probes.cluster import Cluster
from ssl_cli.probes.fewshot import FewShot
from ssl_cli.probes.knn import KNN
from ssl_cli.probes.linear import Linear
from ssl_cli.probes.regression import Regression
from ssl_cli.probes.retrieval import Retrieval
from ssl_cli.probes.runner import run_probes

PROBES = {
    "knn": KNN(),
    "linear": Linear(labels=["1/class"], draws=2),
    "retrieval": Retrieval(),
    "cluster": Cluster(seeds=1),
    "fewshot": FewShot(ways=3, shots=[1], queries=3, episodes=5),
    "regression": Regression(),
}


def with_copies(count):
    """The stripes, with labels of test that nothing tells, and copies of train images among them, labels and all."""
    data = stripes()
    test, train = data.splits["test"], data.splits["train"]
    data.images[test] = torch.randint(0, 200, data.images[test].shape, dtype=torch.uint8)
    data.images[test[:count]], data.labels[test[:count]] = data.images[train[:count]], data.labels[train[:count]]
    data.factors["x"] = data.images.float().mean((1, 2, 3)) + torch.randn(len(data.images))
    return data


def rows_of(data):
    found = run_probes({"m": lambda at: pixels(data.images, at)}, data, data.splits["train"], PROBES, lambda line: None)
    return {(row["probe"], row["labels"], row["target"]): row for row in found.rows}


def test_it_is_the_number_of_the_same_probe_without_them():
    torch.manual_seed(0)
    data = with_copies(20)
    rows = rows_of(data)
    data.splits["test"] = data.splits["test"][20:]
    without = rows_of(data)
    assert rows.keys() == without.keys() and len(rows) == 6
    for key, row in rows.items():
        second, alone = row["without_copies"], without[key]
        assert alone["without_copies"] is None
        assert (second["images"], second["left_out"]) == (30, 20), key
        assert second["mean"] == pytest.approx(alone["mean"], abs=1e-6), key
        assert second["ci"] == pytest.approx(alone["ci"], abs=1e-6), key
    assert rows["knn", "all", None]["mean"] > 0.2 + rows["knn", "all", None]["without_copies"]["mean"]
    shown = Console(file=io.StringIO(), width=200)
    print_table([rows["knn", "all", None]], shown)
    assert "The same without 20 test images that train has, too, pixel for pixel:\n" in shown.file.getvalue()


def test_where_every_test_image_is_a_copy_there_is_no_second_number():
    for row in rows_of(with_copies(50)).values():
        assert row["without_copies"] == {"images": 0, "left_out": 50, "mean": None, "std": None, "ci": None}
