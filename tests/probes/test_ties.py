"""Features that cannot tell images apart score what a random order would give; without ties nothing changes."""

import itertools
import warnings

import pytest
import torch
import torch.nn.functional as F

from ssl_cli.probes.base import Features, Split
from ssl_cli.probes.cluster import Cluster
from ssl_cli.probes.fewshot import FewShot, nearest_mean
from ssl_cli.probes.knn import KNN, knn_vote
from ssl_cli.probes.linear import Linear
from ssl_cli.probes.ood import auroc, kth_distance, missed_strangers, strangeness
from ssl_cli.probes.retrieval import Retrieval, over_ties, ranked
from ssl_cli.probes.scores.bootstrap import resamples
from ssl_cli.probes.scores.metrics import classification
from ssl_cli.probes.scores.ties import Gallery, Guess, settled, tie_draws

CLASSES, EACH, DIM = 5, 20, 37  # of this width, products of equal rows differ in their last digits


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def constant(noise=0.0):
    """All features equal; images in the order of their classes, as folders are read; ``noise`` grows with the batch."""
    labels = torch.arange(CLASSES).repeat_interleave(EACH)
    x = torch.randn(DIM, generator=generator()) * (1 + noise * (labels > 1))[:, None]
    return Features(*(Split(x.clone(), labels, torch.arange(len(labels))) for _ in range(3)), classes=CLASSES)


@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_constant_features_are_at_chance_whatever_the_order(noise):
    f, n = constant(noise), CLASSES * EACH
    shuffle = torch.randperm(n, generator=generator(1))
    for order in (torch.arange(n), shuffle):
        for split in (f.train, f.val, f.test):
            split.features, split.labels = split.features[order], split.labels[order]
        (found,) = Retrieval(ks=[1, 3]).run(f)
        share = (EACH - 1) / (n - 1)
        assert found.metrics["recall_at_1"]["mean"] == pytest.approx(share, abs=1e-9)
        missed = [(n - EACH - i) / (n - 1 - i) for i in range(3)]
        assert found.metrics["recall_at_3"]["mean"] == pytest.approx(1 - missed[0] * missed[1] * missed[2], abs=1e-9)
        rank = torch.arange(1, n).double()
        expected = ((1 + (rank - 1) * (EACH - 2) / (n - 2)) / rank).mean().item()
        assert found.row["mean"] == pytest.approx(expected, abs=1e-6)
        for probe in (KNN(k=7), KNN(k=1), Linear(labels=["all"]), KNN(labels=["3/class"], draws=2)):
            assert probe.run(f)[0].row["mean"] == pytest.approx(1 / CLASSES, abs=1e-9)
        for result in FewShot(ways=4, shots=(1, 5), episodes=30).run(f):
            assert result.row["mean"] == pytest.approx(1 / 4, abs=1e-9) and result.row["std"] < 1e-9


def test_clusters_of_constant_features_are_one_without_a_warning_of_scikit_learn():
    f, probe = constant(), Cluster(seeds=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (result,) = probe.run(f)
    assert {name: scores["mean"] for name, scores in result.metrics.items()} == {
        "cluster_accuracy": pytest.approx(1 / CLASSES),
        "nmi": 0,
        "ari": 0,
    }
    assert probe.notices == ["cluster probe: 1 of 5 clusters, because features have no more values"]


def test_strangers_that_look_like_ours_are_at_chance():
    x = torch.randn(DIM, generator=generator())
    ours, strange = strangeness(x.expand(50, -1), x.expand(103, -1), x.expand(17, -1), 5)
    assert auroc(ours, strange, resamples(103), resamples(17, seed=1))[0] == 0.5
    assert missed_strangers(ours, strange) == pytest.approx(0.95)


def orders(scores):
    """Return every order of the places that falls in score."""
    n = range(len(scores))
    return [o for o in itertools.permutations(n) if all(scores[a] >= scores[b] for a, b in itertools.pairwise(o))]


@pytest.mark.parametrize(
    ("scores", "right"),
    [([3, 2, 2, 2, 1], [0, 1, 0, 0, 1]), ([2, 2, 2, 2], [1, 0, 1, 0]), ([4, 4, 3, 2, 2, 2], [1, 0, 0, 1, 1, 0])],
)
def test_expected_precision_and_recall_are_the_means_over_all_orders(scores, right):
    from sklearn.metrics import average_precision_score

    scores, right = torch.tensor(scores), torch.tensor(right, dtype=torch.bool)
    ks = [1, 2, 3]
    precision, recall = over_ties(right[None], scores[None, 1:] == scores[None, :-1], ks)
    ranked_right = [right[list(order)] for order in orders(scores.tolist())]
    falling = -torch.arange(len(right))
    every = [average_precision_score(r, falling) for r in ranked_right]
    assert precision.item() == pytest.approx(sum(every) / len(every), abs=1e-12)
    for column, k in enumerate(ks):
        share = sum(bool(r[:k].any()) for r in ranked_right) / len(every)
        assert recall[0, column].item() == pytest.approx(share, abs=1e-12)


def test_votes_of_equally_near_neighbours_are_the_mean_over_all_orders():
    bank = torch.tensor([[1.0, 0], [3, 4], [6, 8], [0.6, 0.8], [0, 1]])  # cosines to (1, 0): 1, three of 0.6, 0
    labels, temperature = torch.tensor([1, 0, 0, 2, 2]), 0.5
    guess = knn_vote(bank, labels, torch.tensor([[2.0, 0]]), 3, temperature, 3)
    votes = torch.tensor([1.0, 0.6, 0.6]).div(temperature).exp()
    means = torch.tensor([4 / 3 * votes[1], votes[0], 2 / 3 * votes[1]]) / votes.sum()
    assert guess.predicted.item() == means.argmax().item() == 1
    assert guess.confidence.item() == pytest.approx(means.max().item(), abs=1e-6)


def test_classes_with_equal_votes_have_the_same_chance_and_scores_are_expected_values():
    bank, labels = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1], [-1, 0], [-1, 0]]), torch.tensor([0, 1, 2, 2, 0, 3])
    queries, truth = torch.tensor([[2.0, 0], [0, 3], [2, 0], [-1, 0], [-1, 0]]), torch.tensor([1, 2, 3, 3, 0])
    guess = knn_vote(bank, labels, queries, 2, 0.07, 4)
    assert guess.tied.tolist() == [0, 2, 3, 4] and guess.confidence.tolist() == [0.5, 1, 0.5, 0.5, 0.5]
    assert guess.right(truth).tolist() == [0.5, 1, 0, 0.5, 0.5]
    assert guess.chance().tolist() == [[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [0.5, 0, 0, 0.5], [0.5, 0, 0, 0.5]]
    found = classification(guess.predicted[None], truth, 4, guess.confidence[None], [guess])
    # Right, of the images of a class, and times guessed, in expectation: class 0: 0.5, 1, 2; 1: 0.5, 1, 1; 2: 1, 1, 1.
    f1 = [2 * 0.5 / (1 + 2), 2 * 0.5 / (1 + 1), 1, 2 * 0.5 / (2 + 1)]
    expected = {"accuracy": 2.5 / 5, "balanced_accuracy": (0.5 + 0.5 + 1 + 0.25) / 4, "macro_f1": sum(f1) / 4}
    assert {name: found[name]["mean"] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert found["ece"]["mean"] == pytest.approx(0.5 / 5, abs=1e-7)


def test_between_equal_classes_predictions_are_drawn_without_their_order():
    scores = torch.tensor([[0.25, 0.25 * (1 + 1e-7), 0.2, 0.25, 0.05]]).expand(6000, -1)
    guess = Guess.of(scores, tie_draws(6000, scores.device))
    counts = guess.predicted.bincount(minlength=5)
    assert counts[[2, 4]].sum() == 0 and counts[[0, 1, 3]].min() > 1800
    first, rest = (Guess.of(scores[at], tie_draws(6000, scores.device)[at]) for at in (slice(9), slice(9, None)))
    joined = Guess.joined([first, rest])
    assert all(torch.equal(getattr(joined, name), getattr(guess, name)) for name in ("predicted", "tied", "among"))


def test_a_query_between_two_equal_means_is_half_right():
    support = torch.tensor([[[[1.0, 0]], [[1.0, 0]], [[0, 1.0]]]])
    assert nearest_mean(support, torch.tensor([[[1.0, 0.1]]]), exact=True).tolist() == [[[0.5, 0.5, 0]]]


def test_equal_images_have_equal_cosines_and_others_those_of_the_plain_product():
    x = torch.randn(103, DIM, generator=generator())
    unit = F.normalize(x, dim=1)
    assert torch.equal(Gallery(x).cosines(unit), unit @ unit.T)
    x[5:90] = x[3]
    assert (Gallery(x).cosines(unit)[:, 5:90] == Gallery(x).cosines(unit)[:, 3:4]).all()
    assert settled(x) is x and settled(x[:0]).shape == (0, DIM) and settled(nan := x.log()) is nan
    assert len(settled(1 + 1e-7 * x).unique(dim=0)) == 1


def test_without_ties_every_score_is_bit_for_bit_that_of_the_plain_computation():
    g = generator()
    x, y = torch.randn(200, DIM, generator=g), torch.randn(90, DIM, generator=g)
    labels = torch.randint(0, CLASSES, (200,), generator=g)
    unit, queries = F.normalize(x, dim=1), F.normalize(y, dim=1)

    similarity, neighbours = (queries @ unit.T).topk(7, dim=1)
    weights = (similarity / 0.07).softmax(1)
    votes = torch.zeros(90, CLASSES).scatter_add_(1, labels[neighbours], weights).max(1)
    guess = knn_vote(x, labels, y, 7, 0.07, CLASSES)
    assert torch.equal(guess.predicted, votes.indices) and torch.equal(guess.confidence, votes.values)
    assert len(guess.tied) == 0

    s = (unit @ unit.T).fill_diagonal_(-torch.inf)
    order = s.argsort(dim=1, descending=True, stable=True)[:, :-1]
    right = labels[order] == labels[:, None]
    hits = right.cumsum(1)
    precision, found = ranked(x, labels, torch.arange(200), [1, 5])
    assert torch.equal(precision, (hits / torch.arange(1, 200) * right).sum(1) / right.sum(1))
    assert torch.equal(found, torch.stack([hits[:, 0] > 0, hits[:, 4] > 0], 1).double())

    distance = (2 - 2 * (queries @ unit.T).topk(9, dim=1).values[:, -1]).clamp(min=0).sqrt()
    assert torch.equal(kth_distance(x, y, 9), distance)
    ours, strange = strangeness(x, y[:50], y[50:], 9)
    assert torch.equal(ours, kth_distance(x, y[:50], 9)) and torch.equal(strange, kth_distance(x, y[50:], 9))
    assert missed_strangers(ours, strange) == (strange <= ours.quantile(0.95)).double().mean().item()

    support, asked = x[:60].view(4, 5, 3, DIM), y[:80].view(4, 20, DIM)
    assert torch.equal(nearest_mean(support, asked).argmax(2), torch.cdist(asked, support.mean(2)).argmin(2))
