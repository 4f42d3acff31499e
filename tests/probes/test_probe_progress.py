"""Every probe says how far it is and how long it still takes."""

import re

import pytest
import torch
from experiments import image_info

from ssl_cli.augment.augment import Augment
from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.probes import progress
from ssl_cli.probes.base import Features, Split
from ssl_cli.probes.cluster import Cluster
from ssl_cli.probes.fewshot import FewShot
from ssl_cli.probes.finetune import FineTune
from ssl_cli.probes.frozen.subject import FrozenModel
from ssl_cli.probes.knn import KNN
from ssl_cli.probes.linear import Linear
from ssl_cli.probes.linear_sgd import LinearSGD
from ssl_cli.probes.mlp import MLP
from ssl_cli.probes.progress import measuring, tracked
from ssl_cli.probes.propagate import Propagate
from ssl_cli.probes.regression import Regression
from ssl_cli.probes.retrieval import Retrieval


@pytest.fixture
def shown(monkeypatch):
    """Return the lines that a terminal would have shown, with the thousandths that were done."""
    lines = []

    class Recorder(progress.Progress):
        def show(self, done, line):
            lines.append((done, line))

    monkeypatch.setattr(progress, "Progress", Recorder)
    return lines


def test_nested_loops_add_up_and_never_go_back(shown):
    with measuring("it"):
        for _ in tracked(range(2)):
            for step in tracked(range(5)):
                if step == 3:
                    break  # solved: what is left of this loop is done
        list(tracked(iter("ab"), 2))
    done = [thousandths for thousandths, _ in shown]
    assert done[:9] == [0, 0, 100, 200, 300, 500, 500, 600, 700] and done == sorted(done)
    assert shown[0][1] == "it: 0%" and re.fullmatch(r"it: 70%, \d:\d\d left", shown[8][1])
    assert list(tracked([1, 2])) == [1, 2]  # outside nothing is shown


def pictured():
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 255, (45, 1, 8, 8), dtype=torch.uint8, generator=g)
    source = FrozenModel(ConvNet(1, widths=(4,)), images, image_info(), torch.device("cpu"))
    labels = torch.arange(45) % 3
    parts = [torch.arange(15 * i, 15 * (i + 1)) for i in range(3)]
    targets = [{"t": images[at].float().mean((1, 2, 3))} for at in parts]
    splits = [Split(source(at), labels[at], at, target) for at, target in zip(parts, targets, strict=True)]
    known = Split(torch.empty(15, 0), labels[parts[0]], parts[0])
    return Features(*splits, classes=3, source=source, labelled=known)


@pytest.mark.parametrize(
    "probe",
    [
        *(KNN(), Linear(labels=["all", "1/class"], max_iter=5), Retrieval(), Cluster(restarts=1), FewShot(episodes=60)),
        Propagate(labels=["1/class"]),
        *(Regression(), MLP(epochs=1), LinearSGD(Augment(), epochs=1), FineTune(Augment(), epochs=1)),
    ],
    ids=lambda probe: probe.name,
)
def test_every_probe_is_followed(shown, probe):
    with measuring("measuring"):
        assert probe.run(pictured())
    assert shown and all(0 <= done < 1000 for done, _ in shown)


def test_features_are_followed_batch_by_batch(shown):
    source = pictured().source
    images = source.inputs.repeat(30, 1, 1, 1)
    with measuring("features"):
        source.of(images, torch.arange(len(images)))
    assert [done for done, _ in shown] == [0, 333, 666]
