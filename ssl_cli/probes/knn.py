"""Weighted k nearest neighbours on cosine similarity (Wu et al. 2018, arXiv:1805.01978): nothing to train."""

from collections.abc import Callable, Iterator, Sequence

import torch.nn.functional as F
from torch import Tensor

from ssl_cli.probes.base import Features, Probe, Result, check_budgets
from ssl_cli.probes.progress import tracked
from ssl_cli.probes.scores.ties import Gallery, Guess, tie_draws

CHUNK = 256 * 2**20  # bytes of similarities held at a time


def in_blocks(
    similarity: Callable[[Tensor], Tensor], queries: Tensor, columns: int, chunk_bytes: int = CHUNK
) -> Iterator[tuple[slice, Tensor]]:
    """Yield the exact similarities of the queries in chunks that fit into ``chunk_bytes``.

    Args:
        similarity: queries [q, d] to similarities [q, n].
        queries: [m, d].
        columns: n.
        chunk_bytes: bound on the similarities held at a time.

    Yields:
        the slice of the queries, and their similarities [q, n].
    """
    rows = max(1, chunk_bytes // (queries.element_size() * columns))
    for start in tracked(range(0, len(queries), rows)):
        at = slice(start, start + rows)
        yield at, similarity(queries[at])


def knn_vote(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    k: int,
    temperature: float,
    classes: int,
    chunk_bytes: int = CHUNK,
) -> Guess:
    """Return the class with the largest sum of exp(s / T) over the k neighbours of each query, and its share of all.

    If more inputs are equally near than fit among the k, each votes with its chance to be among them: the mean over all
    orders of these inputs. Classes with equal sums have the same chance.

    Args:
        bank: [n, d] float, vectors of any length: s is the cosine.
        bank_labels: [n] int64 in 0..classes-1.
        queries: [m, d] float; none of them in the bank.
        k: neighbours; 1 <= k <= n.
        temperature: T > 0; a smaller one gives the nearest more weight.
        classes: number of classes.
        chunk_bytes: bound on the similarities held at a time.
    """
    gallery, queries = Gallery(bank), F.normalize(queries, dim=1)
    draws = tie_draws(len(queries), queries.device)
    guesses = []
    for at, similarity in in_blocks(gallery.cosines, queries, len(bank), chunk_bytes):
        nearest, neighbours = similarity.topk(min(k + 1, len(bank)), dim=1)
        weights = (nearest[:, :k] / temperature).softmax(dim=1)  # exp(s / T) up to a factor per query: no overflow
        scores = weights.new_zeros(len(similarity), classes).scatter_add_(1, bank_labels[neighbours[:, :k]], weights)
        if k < len(bank) and (tied := nearest[:, k - 1] == nearest[:, k]).any():
            weights = _expected_weights(similarity[tied], nearest[tied], k, temperature)
            scores[tied] = weights.new_zeros(len(weights), classes).index_add_(1, bank_labels, weights)
        guesses.append(Guess.of(scores, draws[at]))
    return Guess.joined(guesses)


def _expected_weights(similarity: Tensor, nearest: Tensor, k: int, temperature: float) -> Tensor:
    """Return the votes [m, n] of all inputs, which sum to 1, where the k-th and the next input are equally near.

    Args:
        similarity: [m, n].
        nearest: [m, >= k] the largest of them, in order.
        k: neighbours.
        temperature: T > 0.
    """
    last = nearest[:, k - 1 : k]
    nearer, there = similarity > last, similarity == last
    chance = (k - nearer.sum(1, keepdim=True)) / there.sum(1, keepdim=True)
    weights = ((similarity - nearest[:, :1]) / temperature).exp() * (nearer + there * chance)
    return weights / weights.sum(1, keepdim=True)


def knn_predict(*args, **kwargs) -> Tensor:
    """Return only the classes [m] of `knn_vote`."""
    return knn_vote(*args, **kwargs).predicted


def shrunk_k(k: int, bank: int, classes: int) -> int:
    """Return k, or for a small bank n / (5 C): a fifth of the inputs per class, at least 1."""
    return min(k, max(1, bank // (5 * classes)))


class KNN(Probe):
    """Class of the test inputs by their nearest labelled training inputs.

    Args:
        k: neighbours; a small bank lowers it to n / (5 C), so that one class can fill it.
        temperature: of the weights exp(s / T).
        labels: budgets: ``all``, ``10/class``, ``10%``.
        draws: random draws of each budget other than ``all``, with seeds 0, 1, ...
        chunk: bound on the similarities held at a time, in MiB.

    Raises:
        UserError: a budget cannot be read.
    """

    name = "knn"
    features_alone = True

    def __init__(
        self,
        k: int = 200,
        temperature: float = 0.07,
        labels: Sequence[str] = ("all",),
        draws: int = 10,
        chunk: int = 256,
    ):
        self.k, self.temperature, self.chunk = k, temperature, chunk
        self.labels, self.count = check_budgets(labels), draws

    def run(self, features: Features) -> list[Result]:
        """Vote on the test split at each budget; see `Probe.run`."""
        train, test, classes = features.train, features.test, features.classes
        results, self.notices = [], []
        for budget, draws, how in self.draws(features, self.labels, self.count):
            k = shrunk_k(self.k, draws.shape[1], classes)
            votes = [
                knn_vote(
                    train.features[drawn],
                    train.labels[drawn],
                    test.features,
                    k,
                    self.temperature,
                    classes,
                    self.chunk * 2**20,
                )
                for drawn in tracked(draws)
            ]
            settings = {"k": k, "temperature": self.temperature, "similarity": "cosine", **how}
            if k < self.k:
                settings["notice"] = (
                    f"k={self.k} reduced to {k}: a fifth of the labelled training {features.noun}s per class"
                )
                self.notices += [f"knn probe with {budget} labels: {settings['notice']}"]
            results.append(self.guessed(features, budget, votes, settings))
        return results
