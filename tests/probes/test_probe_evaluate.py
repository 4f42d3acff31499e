from types import SimpleNamespace

import torch

from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.probes.evaluate import evaluate
from ssl_cli.probes.features import extract, fingerprint, pixels
from ssl_cli.probes.knn import KNN
from ssl_cli.probes.linear import Linear


def stripes(n=240, unlabelled=40):
    """Three classes of noisy images told apart by the row that is bright; the last ``unlabelled`` have no label."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 3
    images = torch.randint(0, 100, (n, 1, 8, 8), dtype=torch.uint8, generator=g)
    images[torch.arange(n), 0, 2 * labels] += 120
    labels[n - unlabelled :] = -1
    splits = {"train": torch.cat([torch.arange(100), torch.arange(n - unlabelled, n)])}
    splits |= {"val": torch.arange(100, 150), "test": torch.arange(150, n - unlabelled)}
    return SimpleNamespace(images=images, labels=labels, splits=splits, num_classes=3)


class Recorder(KNN):
    """Keeps what it was given."""

    def run(self, features):
        self.features = features
        self.notices = ["something was left out"]
        return super().run(features)


def test_every_model_meets_every_probe_and_the_backbone_stays_frozen():
    data = stripes()
    torch.manual_seed(0)
    backbone = ConvNet(1, widths=(8, 16))
    before = fingerprint(backbone)
    models = {
        "pixels": lambda p: pixels(data.images, p),
        "simclr": lambda p: extract(backbone, data.images, p, (0.3,), (0.2,), "cpu"),
    }
    probes = {"knn": KNN(), "linear": Linear(labels=["all", "1/class"], draws=2)}
    rows = evaluate(models, data, data.splits["train"], probes, log=print)
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
    evaluate(models, data, budget, {"probe": probe}, lines.append)
    assert probe.features.train.features.flatten().tolist() == list(range(30))
    assert torch.equal(probe.features.train.labels, data.labels[:30])
    assert len(probe.features.val.labels) == 50 and len(probe.features.test.labels) == 50
    assert lines == ["something was left out"]  # once, not once per model


def test_without_labels_there_is_nothing_to_probe():
    data, lines = stripes(), []
    data.labels.fill_(-1)
    assert evaluate({"pixels": lambda p: pixels(data.images, p)}, data, data.splits["train"], {}, lines.append) == []
    assert "no labelled image in train and test" in lines[0]
