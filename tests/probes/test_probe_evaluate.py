from dataclasses import replace

import numpy as np
import torch
from experiments import image_info

from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.data.images.base import ImageData
from ssl_cli.data.images.raw import pixels
from ssl_cli.probes.frozen.features import extract, fingerprint
from ssl_cli.probes.knn import KNN
from ssl_cli.probes.linear import Linear
from ssl_cli.probes.runner import run_probes
from ssl_cli.probes.scores.protocol import LABEL_DRAW, protocol


def stripes(n=240, unlabelled=40):
    """Three classes of noisy images told apart by the row that is bright; the last ``unlabelled`` have no label."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 3
    images = torch.randint(0, 100, (n, 1, 8, 8), dtype=torch.uint8, generator=g)
    images[torch.arange(n), 0, 2 * labels] += 120
    labels[n - unlabelled :] = -1
    splits = {"train": torch.cat([torch.arange(100), torch.arange(n - unlabelled, n)])}
    splits |= {"val": torch.arange(100, 150), "test": torch.arange(150, n - unlabelled)}
    return ImageData("stripes", images, labels, ("a", "b", "c"), splits)


class Recorder(KNN):
    """Keeps what it was given."""

    def run(self, features):
        self.features = features
        results = super().run(features)
        self.notices = ["something was left out"]
        return results


def test_every_model_meets_every_probe_and_the_backbone_stays_frozen():
    data = stripes()
    torch.manual_seed(0)
    backbone = ConvNet(1, widths=(8, 16))
    before = fingerprint(backbone)
    models = {
        "pixels": lambda p: pixels(data.images, p),
        "simclr": lambda p: extract(backbone, data.images, p, image_info(), "cpu"),
    }
    probes = {"knn": KNN(), "linear": Linear(labels=["all", "1/class"], draws=2)}
    rows = run_probes(models, data, data.splits["train"], probes, log=print).rows
    assert [(r["model"], r["probe"], r["labels"]) for r in rows] == [
        (m, p, b) for m in models for p, b in (("knn", "all"), ("linear", "all"), ("linear", "1/class"))
    ]
    assert next(iter(rows[0])) == "model"
    assert rows[1]["mean"] > 0.95  # linear on pixels
    assert fingerprint(backbone) == before and backbone.training


def test_probes_see_the_budget_and_nothing_unlabelled():
    data, probe, lines = stripes(), Recorder(), []
    budget = torch.cat([torch.arange(30), torch.arange(230, 240)])  # the last ten have no label
    models = {"a": lambda p: p[:, None].float(), "b": lambda p: p[:, None].float()}
    run_probes(models, data, budget, {"probe": probe}, lines.append)
    assert probe.features.train.features.flatten().tolist() == list(range(30))
    assert torch.equal(probe.features.train.labels, data.labels[:30])
    assert len(probe.features.val.labels) == 50 and len(probe.features.test.labels) == 50
    assert lines == ["something was left out"]  # once, not once per model


def test_without_labels_there_is_nothing_to_probe():
    data, lines = stripes(), []
    data.labels.fill_(-1)
    assert (
        run_probes(
            {"pixels": lambda p: pixels(data.images, p)}, data, data.splits["train"], {"knn": KNN()}, lines.append
        ).rows
        == []
    )
    assert "no labelled image in train and test" in lines[0]


def test_predictions_are_of_the_rows_and_load_without_pickle(tmp_path):
    data = stripes()
    probes = {"knn": KNN(), "linear": Linear(labels=["all", "1/class"], draws=2)}
    measured = run_probes({"pixels": lambda p: pixels(data.images, p)}, data, data.splits["train"], probes, print)
    measured.write_predictions(tmp_path / "predictions.npz")
    stored = np.load(tmp_path / "predictions.npz", allow_pickle=False)
    assert set(stored) == {"positions", "labels", *(f"pixels/{r['probe']}/{r['labels']}" for r in measured.rows)}
    assert (stored["positions"] == data.splits["test"].numpy()).all()
    assert (stored["labels"] == data.labels[data.splits["test"]].numpy()).all()
    for row in measured.rows:
        right = stored[f"pixels/{row['probe']}/{row['labels']}"] == stored["labels"]
        assert right.shape == (row["n"], 50) and np.isclose(right.mean(), row["mean"])


def test_the_protocol_is_that_of_the_measurement_and_not_of_the_model():
    data = stripes()
    models = {name: (lambda p, s=s: pixels(data.images, p) * s) for name, s in (("a", 1.0), ("b", -0.5))}

    def rows(train, **options):
        probes = {"knn": KNN(**options), "linear": Linear(labels=["1/class"], draws=2)}
        return run_probes(models, data, train, probes, print).rows

    train = data.splits["train"]
    (knn_a, linear_a, knn_b, linear_b), (other, *_), (_, fewer, *_) = (
        rows(train),
        rows(train, temperature=0.1),
        rows(train[9:]),
    )
    assert knn_a["protocol"] == knn_b["protocol"] and linear_a["protocol"] == linear_b["protocol"]
    assert len({row["protocol"] for row in (knn_a, linear_a, other, fewer)}) == 4  # fewer: other labels were drawn
    assert linear_a["chosen"] != {} and "chosen" not in linear_a["settings"]
    splits = "0" * 12
    assert protocol(linear_a, splits) != protocol(fewer, splits)
    assert protocol(linear_a, splits, LABEL_DRAW) == protocol(fewer, splits, LABEL_DRAW)
    assert protocol(linear_a, splits, LABEL_DRAW) != protocol(linear_a, "1" * 12, LABEL_DRAW)


def test_imbalanced_classes_put_balanced_accuracy_first_and_say_so():
    data, lines = stripes(), []
    keep = torch.cat(
        [data.splits["test"][data.labels[data.splits["test"]] == c][:n] for c, n in ((0, 16), (1, 4), (2, 8))]
    )
    data = replace(data, splits={**data.splits, "test": keep})
    (row,) = run_probes(
        {"m": lambda p: data.labels[p, None].float() + 1},
        data,
        data.splits["train"],
        {"k": Linear(labels=["all"])},
        lines.append,
    ).rows
    assert row["metric"] == "balanced_accuracy" and row["mean"] == row["metrics"]["balanced_accuracy"]["mean"]
    assert any("4 to 16 test images" in line for line in lines)
