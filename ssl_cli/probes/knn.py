"""Weighted k nearest neighbours on cosine similarity (Wu et al. 2018, arXiv:1805.01978): nothing to train."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.probes.base import Features, Probe


def knn_predict(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    k: int,
    temperature: float,
    classes: int,
    chunk_bytes: int = 256 * 2**20,
) -> Tensor:
    """Return the class with the largest sum of exp(s / T) over the k neighbours of each query.

    Args:
        bank: [n, d] float; any length of vector, for s is the cosine.
        bank_labels: [n] int64 in 0..classes-1.
        queries: [m, d] float; none of them in the bank.
        k: neighbours; 1 <= k <= n.
        temperature: T > 0; smaller gives more to the nearest.
        classes: number of classes.
        chunk_bytes: bound on the similarities held at a time.

    Returns:
        [m] int64.
    """
    bank, queries = F.normalize(bank, dim=1), F.normalize(queries, dim=1)
    rows = max(1, chunk_bytes // (bank.element_size() * len(bank)))
    predictions = []
    for chunk in queries.split(rows):
        similarity, neighbours = (chunk @ bank.T).topk(k, dim=1)
        weights = (similarity / temperature).softmax(dim=1)  # exp(s / T) up to a factor per query; cannot overflow
        scores = weights.new_zeros(len(chunk), classes).scatter_add_(1, bank_labels[neighbours], weights)
        predictions.append(scores.argmax(1))
    return torch.cat(predictions)


def shrunk_k(k: int, bank: int, classes: int) -> int:
    """Return k, or for a small bank n / (5 C): a fifth of the images that each class has, at least one."""
    return min(k, max(1, bank // (5 * classes)))


class KNN(Probe):
    """Accuracy on the test split with the labelled training images as the bank.

    Args:
        k: neighbours. It shrinks to n / (5 C) when the bank is small, so that the neighbours of one class suffice.
        temperature: of the weights exp(s / T).
        chunk: bound on the similarities held at a time, in MiB.
    """

    name = "knn"

    def __init__(self, k: int = 200, temperature: float = 0.07, chunk: int = 256):
        self.k = k
        self.temperature = temperature
        self.chunk = chunk

    def run(self, features: Features) -> list[dict]:
        """Score the test split; see `Probe.run`."""
        train, test = features.train, features.test
        k = shrunk_k(self.k, len(train.labels), features.classes)
        predicted = knn_predict(
            train.features, train.labels, test.features, k, self.temperature, features.classes, self.chunk * 2**20
        )
        settings = {"k": k, "temperature": self.temperature, "similarity": "cosine", "train_images": len(train.labels)}
        if k < self.k:
            settings["notice"] = f"k={self.k} reduced to {k}: a fifth of the labelled training images per class"
        return [
            {
                "probe": self.name,
                "labels": "all",
                "split": "test",
                "metric": "accuracy",
                "mean": (predicted == test.labels).double().mean().item(),
                "std": None,
                "n": 1,
                "settings": settings,
            }
        ]
