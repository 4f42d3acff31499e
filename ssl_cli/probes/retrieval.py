"""Does an image find the others of its class? Recall at k and mean average precision, nothing to train."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.probes.base import Features, Probe, Result, check_counts
from ssl_cli.probes.scores.bootstrap import resamples, summary

CHUNK = 16 * 2**20  # similarities held at a time; their ranks and hits take 32 bytes each beside them


def ranked(features: Tensor, labels: Tensor, queries: Tensor, ks: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Rank all other images for each query by cosine.

    Args:
        features: [n, d].
        labels: [n] int64.
        queries: [q] positions; each has another image of its class.
        ks: of the recall.

    Returns:
        Average precision [q] (the mean, over the images of the query's class, of the precision up to each); and whether
        one of its class is among the nearest k, [q, len(ks)] (Recall@k as in Oh Song et al. 2016, arXiv:1511.06452).
    """
    x = F.normalize(features, dim=1)
    precision, found = [], []
    place = torch.arange(1, len(x), device=x.device)
    for chunk in queries.split(max(1, CHUNK // len(x))):
        similarity = x[chunk] @ x.T
        similarity.scatter_(1, chunk[:, None], -torch.inf)  # the query itself comes last, and is cut off
        order = similarity.argsort(dim=1, descending=True, stable=True)[:, :-1]
        right = labels[order] == labels[chunk][:, None]
        hits = right.cumsum(1)
        precision.append((hits / place * right).sum(1) / right.sum(1))
        found.append(torch.stack([hits[:, min(k, len(x) - 1) - 1] > 0 for k in ks], 1))
    return torch.cat(precision), torch.cat(found)


class Retrieval(Probe):
    """Each test image is a query, all other test images are what it ranks.

    Args:
        ks: of recall at k.
        queries: at most so many, evenly spaced.

    Raises:
        UserError: a k is not a positive whole number.
    """

    name = "retrieval"
    needs = "images"

    def __init__(self, ks: Sequence[int] = (1, 5, 10), queries: int = 10_000):
        self.ks, self.queries = check_counts("ks", ks), queries

    def run(self, features: Features) -> list[Result]:
        """Rank the test split; see `Probe.run`. The headline is ``map``, the mean average precision."""
        test, self.notices = features.test, []
        if features.classes < 2:
            self.notices = ["retrieval probe: left out, for the images have no classes"]
            return []
        alone = torch.bincount(test.labels, minlength=features.classes)[test.labels] < 2
        queries = torch.nonzero(~alone).flatten()
        if not len(queries):
            self.notices = ["retrieval probe: left out, for no class has two test images"]
            return []
        if alone.any():
            self.notices = [f"retrieval probe: {int(alone.sum())} test images alone in their class are no queries"]
        queries = queries[:: -(-len(queries) // self.queries)]
        precision, found = ranked(test.features, test.labels, queries, self.ks)
        values = torch.cat([precision.double()[:, None], found.double()], 1).cpu()  # [q, 1 + len(ks)]
        means = values.T @ resamples(len(queries)).double() / len(queries)
        names = ["map", *(f"recall_at_{k}" for k in self.ks)]
        metrics = {name: summary(row[None]) for name, row in zip(names, means, strict=True)}
        settings = {"similarity": "cosine", "gallery": "the other test images", "queries": len(queries), "ks": self.ks}
        return [Result(self.name, "none", metrics, settings)]
