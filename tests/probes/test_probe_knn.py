import math

import pytest
import torch

from ssl_cli.probes.base import Features, Split
from ssl_cli.probes.knn import KNN, knn_predict


def at_cosines(cosines):
    """Vectors in the plane with the given cosines to (1, 0)."""
    return torch.tensor([[s, math.sqrt(1 - s * s)] for s in cosines])


@pytest.mark.parametrize(("temperature", "expected"), [(0.07, 0), (0.5, 1)])
def test_temperature_decides_between_one_near_and_three_far(temperature, expected):
    # Weights exp(s/T): class 0 has a share of 0.738 at T = 0.07 and of 0.3165 at T = 0.5.
    bank = at_cosines([0.9, 0.8, 0.7, 0.7])
    predicted = knn_predict(bank, torch.tensor([0, 1, 1, 1]), torch.tensor([[1.0, 0.0]]), 4, temperature, 2)
    assert predicted.tolist() == [expected]


def test_only_k_neighbours_vote_and_length_does_not_matter():
    bank = at_cosines([0.9, 0.8, 0.7, 0.7]) * torch.tensor([[1.0], [9.0], [9.0], [9.0]])
    query = torch.tensor([[5.0, 0.0]])
    assert knn_predict(bank, torch.tensor([0, 1, 1, 1]), query, 1, 0.5, 2).item() == 0
    assert knn_predict(bank, torch.tensor([0, 1, 1, 1]), query, 3, 0.5, 2).item() == 1


def test_small_temperatures_do_not_overflow():
    bank = at_cosines([0.9, 0.8, 0.8])
    assert knn_predict(bank, torch.tensor([0, 1, 1]), torch.tensor([[1.0, 0.0]]), 3, 1e-3, 2).item() == 0


def test_equals_the_definition_and_does_not_depend_on_the_chunk():
    g = torch.Generator().manual_seed(0)
    bank, queries = torch.randn(50, 8, generator=g).double(), torch.randn(17, 8, generator=g).double()
    labels = torch.randint(0, 4, (50,), generator=g)
    expected = []
    for q in queries:
        s = torch.cosine_similarity(bank, q[None])
        nearest = s.argsort(descending=True)[:7]
        votes = [sum(math.exp(s[i] / 0.07) for i in nearest if labels[i] == c) for c in range(4)]
        expected.append(votes.index(max(votes)))
    for chunk_bytes in (1, 50 * 8 * 5, 2**20):
        assert knn_predict(bank, labels, queries, 7, 0.07, 4, chunk_bytes).tolist() == expected


def blobs(n, classes=5, dim=16, seed=0, spread=0.3):
    g = torch.Generator().manual_seed(seed)
    centres = torch.eye(dim)[:classes]
    labels = torch.arange(n) % classes
    return Split(centres[labels] + spread * torch.randn(n, dim, generator=g), labels)


def test_probe_solves_blobs_and_is_at_chance_on_random_labels():
    train, test = blobs(500, seed=0), blobs(500, seed=1)
    row = KNN().run(Features(train, test, test, 5))[0].row
    assert row["mean"] > 0.95
    assert (row["probe"], row["labels"], row["split"], row["std"], row["n"]) == ("knn", "all", "test", None, 1)
    shuffled = train.labels[torch.randperm(500, generator=torch.Generator().manual_seed(2))]
    row = KNN().run(Features(Split(train.features, shuffled), test, test, 5))[0].row
    assert 0.1 < row["mean"] < 0.3


@pytest.mark.parametrize(("n", "k"), [(10_000, 200), (500, 20), (10, 1)])
def test_k_shrinks_with_the_bank_and_says_so(n, k):
    test = blobs(5)
    row = KNN(k=200).run(Features(blobs(n), test, test, 5))[0].row
    assert row["settings"]["k"] == k
    assert ("notice" in row["settings"]) == (k < 200)
