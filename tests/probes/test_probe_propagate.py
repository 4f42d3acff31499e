"""Label spreading, against scikit-learn's, against the closed form, and where nothing decides."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from blobs import blobs

from ssl_cli.data.images.base import ImageData
from ssl_cli.errors import UserError
from ssl_cli.probes.base import Features, Split
from ssl_cli.probes.knn import KNN
from ssl_cli.probes.propagate import Propagate
from ssl_cli.probes.runner import run_probes
from ssl_cli.probes.solvers.nodes import Nodes
from ssl_cli.probes.solvers.spreading import Graph, spread

ALPHAS = [0.5, 0.9, 0.95]


def hiding(train, val, test, known, classes, **more):
    """Features of which only the ``known`` train images [m] have a label that may be used."""
    labels = torch.full_like(train.labels, -1)
    labels[known] = train.labels[known]
    whole = Split(train.features, labels, train.positions)
    bare = Split(torch.empty(len(known), 0), train.labels[known], train.positions[known])
    return Features(whole, val, test, classes, labelled=bare, **more)


def features(spread=0.22, n=200, known=8, **more):
    train, val, test = (blobs(n, seed=s, spread=spread) for s in range(3))
    val.positions, test.positions = val.positions + n, test.positions + 2 * n
    return hiding(train, val, test, torch.arange(known), 4, budget="2/class", label_seed=5, **more)


def affinity(x, k, power):
    """W of the definition, dense and in float64."""
    s = F.normalize(x.double(), dim=1) @ F.normalize(x.double(), dim=1).T
    s.fill_diagonal_(-torch.inf)
    a = torch.zeros_like(s)
    for i, row in enumerate(s):
        for j in row.argsort(descending=True)[:k]:
            a[i, j] = max(0.0, row[j].item()) ** power
    return a + a.T


def solved(x, k, power):
    """Our scores of two draws of labels, in the order of the images, and the affinity they belong to."""
    nodes = Nodes(x, [], k, 2**20)
    rows, labels = torch.tensor([[0, 1, 2, 3], [8, 5, 6, 7]]), torch.tensor([[0, 1, 2, 3], [0, 1, 2, 3]])
    seeds = nodes.seeds(rows, labels, 4)
    found = spread(nodes.graph(k, power), seeds.flatten(1), ALPHAS)
    y = torch.zeros(len(x), 2, 4).double()
    for draw in range(2):
        y[rows[draw], draw, labels[draw]] = 1
    return [scores[nodes.node] for scores in found], y.flatten(1), affinity(x, k, power)


@pytest.mark.parametrize(("k", "power"), [(4, 1.0), (9, 3.0)])
def test_scores_are_those_of_the_closed_form(k, power):
    found, y, w = solved(blobs(120, spread=0.5).features, k, power)
    root = w.sum(1).rsqrt()
    s = root[:, None] * w * root
    for alpha, scores in zip(ALPHAS, found, strict=True):
        expected = torch.linalg.inv(torch.eye(len(s)).double() - alpha * s) @ y
        torch.testing.assert_close(scores.double(), expected, rtol=1e-3, atol=3e-6)
        assert (scores[expected < 1e-14] == 0).all()  # what no label reaches


def test_scores_are_those_of_scikit_learn():
    from sklearn.semi_supervised import LabelSpreading

    x = blobs(90, spread=0.4).features
    found, _, w = solved(x, 6, 1.0)
    labels = np.full(90, -1)
    labels[:4] = range(4)
    for alpha, scores in zip(ALPHAS, found, strict=True):
        reference = LabelSpreading(kernel=lambda a, b: w.numpy(), alpha=alpha, max_iter=3000, tol=1e-12).fit(x, labels)
        ours = scores[:, :4] / scores[:, :4].sum(1, keepdim=True)
        np.testing.assert_allclose(ours, reference.label_distributions_, atol=2e-4)


def test_images_outside_get_what_they_would_as_nodes_that_nobody_is_tied_to():
    x, asked = blobs(60, spread=0.5).features, blobs(10, seed=7, spread=0.5).features
    nodes = Nodes(x, [asked], 5, 2**20)
    seeds = nodes.seeds(torch.tensor([[0, 1, 2, 3]]), torch.tensor([[0, 1, 2, 3]]), 4)
    graph = nodes.graph(5, 2.0)
    (scores,) = spread(graph, seeds.flatten(1), [0.9])
    near = nodes.reach(graph, scores[:, None], nodes.of_others[0], 5, 2.0)[:, 0]
    w = affinity(x, 5, 2.0)
    degree = w.sum(1)
    cosines = (F.normalize(asked, dim=1) @ F.normalize(x, dim=1).T).double()
    for i, row in enumerate(cosines):
        to = torch.where(row >= row.topk(5).values[-1], row.clamp(min=0) ** 2, 0)
        whole = torch.zeros(61, 61).double()  # the image listens, and is not listened to
        whole[:60, :60] = w / (degree[:, None] * degree).sqrt()
        whole[60, :60] = to / (to.sum() * degree).sqrt()
        y = torch.zeros(61, 4).double()
        y[:4] = torch.eye(4)
        expected = torch.linalg.solve(torch.eye(61) - 0.9 * whole, y)[60]
        torch.testing.assert_close((near[i] / near[i].sum()).double(), expected / expected.sum(), rtol=1e-4, atol=1e-6)


def arcs(shift):
    """Two arcs side by side, 100 points of each; ``shift`` turns the points of one between those of another."""
    labels = torch.arange(200) % 2
    angle = (torch.arange(200) // 2 + shift) / 100 * torch.pi
    return Split(torch.stack([angle.cos(), angle.sin(), 0.5 * labels - 0.25], 1), labels, torch.arange(200))


def test_labels_follow_the_data_and_those_of_none_but_the_known_images_are_looked_at():
    train, val, test = (arcs(shift) for shift in (0, 0.3, 0.6))
    known = torch.tensor([0, 199])  # at opposite ends of their arcs: half of each is nearer to the other label
    f = hiding(train, val, test, known, 2, budget="1/class", label_seed=5)
    assert (f.train.labels < 0).sum() == 198
    (result,) = Propagate(labels=["all"]).run(f)
    (knn,) = KNN(k=1).run(Features(Split(train.features[known], train.labels[known]), val, test, 2))
    assert result.row["mean"] == 1 and knn.row["mean"] < 0.6
    assert result.labels == "1/class" and result.settings["label_seeds"] == [5]
    positions, labels, confidence = result.spread.to_all()
    assert torch.equal(positions, train.positions) and torch.equal(labels[0], train.labels)
    assert confidence[0, known].tolist() == [1, 1] and confidence.min() > 0.5 and result.metrics["ece"]["mean"] < 0.1


def test_draws_are_those_of_other_probes_and_settings_are_chosen_on_val_alone():
    train, val, test = (blobs(200, seed=s, spread=0.35) for s in range(3))
    f = hiding(train, val, test, torch.arange(200), 4)
    probe = Propagate(labels=["all", "3/class"], draws=3)
    (result,) = probe.run(f)  # all have a label: nothing to spread to
    (knn,) = KNN(labels=["3/class"], draws=3).run(f)
    for key in ("train_images", "label_seeds", "label_fingerprint"):
        assert result.settings[key] == knn.settings[key]
    test.labels = test.labels.flip(0)
    assert probe.run(f)[0].chosen == result.chosen and not probe.notices
    alone = [
        Propagate(["3/class"], 3, [k], [a], [1.0]).run(hiding(train, val, val, torch.arange(200), 4))[0]
        for k, a in ((5, 0.9), (20, 0.8))
    ]
    chosen = Propagate(["3/class"], 3, [5, 20], [0.9, 0.8], [1.0]).run(hiding(train, val, val, torch.arange(200), 4))[0]
    assert chosen.row["mean"] >= max(result.row["mean"] for result in alone) - 1e-12
    assert Propagate(labels=["all"]).run(f) == []


def test_constant_features_are_at_chance_whatever_the_order():
    labels = torch.arange(5).repeat_interleave(20)
    x = torch.randn(37, generator=torch.Generator().manual_seed(0)).expand(100, -1)
    for order in (torch.arange(100), torch.randperm(100, generator=torch.Generator().manual_seed(1))):
        split = Split(x, labels[order], torch.arange(100))
        for probe in (Propagate(labels=["1/class"]), Propagate(labels=["3/class"], draws=2, neighbours=[1])):
            (result,) = probe.run(hiding(split, split, split, torch.arange(100), 5))
            assert result.row["mean"] == pytest.approx(1 / 5, abs=1e-9)


def test_what_no_label_reaches_is_of_any_class():
    x = torch.cat(
        [torch.tensor([[1.0, 0.1 * i, 0, 0] for i in range(5)]), torch.tensor([[0, 0, 1, 0.1 * i] for i in range(5)])]
    )
    split = Split(x, torch.arange(10) // 5, torch.arange(10))
    (result,) = Propagate(labels=["all"], neighbours=[2]).run(hiding(split, split, split, torch.tensor([0]), 2))
    assert result.row["mean"] == pytest.approx((5 + 5 / 2) / 10)
    _, _, confidence = result.spread.to_all()
    assert confidence[0, 5:].tolist() == pytest.approx([0.5] * 5)


def test_without_labels_in_val_the_first_settings_are_used_and_that_is_said():
    f = features()
    f.val = Split(f.val.features[:0], f.val.labels[:0], f.val.positions[:0])
    probe = Propagate(labels=["all"])
    (result,) = probe.run(f)
    assert {key: value[0] for key, value in result.chosen.items()} == {
        "neighbours": 10,
        "alpha": 0.9,
        "power": 1.0,
        "exponent": 1.0,
    }
    assert result.row["mean"] > 0.95 and "val has no label" in probe.notices[0]


def pictured(n=400):
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 4
    parts = dict(zip(("train", "val", "test"), torch.arange(n).split([300, 50, 50]), strict=True))
    x = torch.eye(8)[labels] + 0.3 * torch.randn(n, 8, generator=g)
    return ImageData("points", torch.zeros(n, 1, 2, 2, dtype=torch.uint8), labels, tuple("abcd"), parts), x


def test_a_graph_of_fewer_images_has_all_that_are_labelled_and_the_others_get_a_label_too():
    data, x = pictured()
    asked = []

    def network(at):
        asked.append(at)
        return x[at]

    probe = Propagate(labels=["all", "1/class"], draws=2, images=60)
    labelled = torch.arange(0, 300, 10)
    found = run_probes(
        {"simclr": network, "pixels": network}, data, labelled, {"propagate": probe}, print, budget="10%"
    )
    assert len(torch.cat(asked).unique()) == 60 + 100 and len(torch.cat(asked)) == 2 * 160
    assert {row["labels"]: row["settings"]["graph_images"] for row in found.rows} == {"10%": 60, "1/class": 60}
    assert "a graph of 60 of the 300 train images" in probe.notices[0]
    assert found.spread.keys() == {"10%", "1/class"}
    assert torch.equal(found.spread["10%"].labelled[0], labelled)
    assert torch.equal(found.spread["10%"].labels[0], data.labels[labelled])
    with pytest.raises(TypeError):  # a plain function shows no further images
        found.spread["10%"].to_all()


def test_probes_share_features_and_a_mixed_one_sees_no_other_label():
    data, x = pictured()
    asked, seen = [], []

    class Looking(Propagate):
        def run(self, features):
            seen.append(features)
            return super().run(features)

    labelled = torch.arange(0, 300, 10)
    probes = {"knn": KNN(), "propagate": Looking(labels=["all"])}
    found = run_probes({"simclr": lambda at: asked.append(at) or x[at]}, data, labelled, probes, print, budget="10%")
    assert [len(at) for at in asked] == [30, 50, 50, 270]
    assert torch.equal(seen[0].train.features, x[:300]) and torch.equal(seen[0].train.positions, torch.arange(300))
    assert (seen[0].train.labels >= 0).nonzero().flatten().tolist() == labelled.tolist()
    knn, ours = found.rows
    assert knn["settings"]["train_images"] == ours["settings"]["train_images"] == 30


def test_of_many_classes_less_is_tried_and_that_is_said(monkeypatch):
    monkeypatch.setattr("ssl_cli.probes.propagate.MANY", 2)
    train, val, test = (blobs(200, seed=s, spread=0.3) for s in range(3))
    f = hiding(train, val, test, torch.arange(200), 4)
    probe = Propagate(labels=["1/class"], draws=8)
    (result,) = probe.run(f)
    assert (result.n, result.settings["neighbours"], result.settings["powers"]) == (4, [10], [1.0])
    assert probe.notices == ["propagate probe: 4 draws and 10 neighbours, because there are 4 classes"]
    monkeypatch.setattr("ssl_cli.probes.propagate.WORK", 40)
    assert len(probe.wanted(f)) == 4 * 4  # those of all draws in any case
    probe = Propagate(labels=["5/class"])
    assert probe.run(f) == []
    assert (
        probe.notices[1]
        == "propagate probe with 5/class labels: left out, because a graph has at most 10 images (probe.images)"
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"alphas": [1.0]}, r"probe.alphas=\[1.0\]: write numbers between 0 and 1"),
        ({"alphas": []}, "probe.alphas"),
        ({"powers": [0]}, r"probe.powers=\[0\]: write positive numbers"),
        ({"neighbours": [0]}, r"probe.neighbours=\[0\]: write whole numbers"),
        ({"labels": ["few"]}, "not a label budget"),
    ],
)
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(UserError, match=said):
        Propagate(**settings)


def test_a_node_without_neighbours_keeps_its_label():
    graph = Graph.of(torch.empty(1, 0), torch.empty(1, 0, dtype=torch.int64), 1.0)
    (scores,) = spread(graph, torch.tensor([[2.0, 1.0]]), [0.9])
    torch.testing.assert_close(scores, torch.tensor([[2.0, 1.0]]))
