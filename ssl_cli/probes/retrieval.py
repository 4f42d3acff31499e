"""Does an input find the others of its class? Recall at k and mean average precision; nothing is trained."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.probes.base import Features, Probe, Result, check_counts
from ssl_cli.probes.progress import tracked
from ssl_cli.probes.scores.bootstrap import resamples, summary
from ssl_cli.probes.scores.ties import Gallery

CHUNK = 16 * 2**20  # similarities held at a time; their ranks and hits take 32 bytes each beside them

TIED = 2**20  # likewise of those queries that meet ties: 100 bytes each


def ranked(features: Tensor, labels: Tensor, queries: Tensor, ks: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Rank all other inputs for each query by cosine; if some are equally near, average over all their orders.

    Args:
        features: [n, d].
        labels: [n] int64.
        queries: [q] positions; each has another input of its class.
        ks: of the recall.

    Returns:
        Average precision [q]: the mean of the precision at each input of the query's class. And recall [q, len(ks)]
        float64: the probability that an input of its class is among the nearest k, 0 or 1 without ties (Recall@k as in
        Oh Song et al. 2016, arXiv:1511.06452).
    """
    x, gallery = F.normalize(features, dim=1), Gallery(features)
    precision, found = [], []
    place = torch.arange(1, len(x), device=x.device)
    ks = [min(k, len(x) - 1) for k in ks]
    for chunk in tracked(queries.split(max(1, CHUNK // len(x)))):
        similarity = gallery.cosines(x[chunk])
        similarity.scatter_(1, chunk[:, None], -torch.inf)  # the query itself comes last, and is cut off
        similarity, order = (part[:, :-1] for part in similarity.sort(dim=1, descending=True, stable=True))
        right = labels[order] == labels[chunk][:, None]
        hits = right.cumsum(1)
        average = (hits / place * right).sum(1) / right.sum(1)
        recalled = torch.stack([hits[:, k - 1] > 0 for k in ks], 1).double()
        equal = similarity[:, 1:] == similarity[:, :-1]
        mixed = (equal & (right[:, 1:] != right[:, :-1])).any(1).nonzero().flatten()
        for rows in mixed.split(max(1, TIED // len(x))):
            expected, recalled[rows] = over_ties(right[rows], equal[rows], ks)
            average[rows] = expected.to(average)
        precision.append(average)
        found.append(recalled)
    return torch.cat(precision), torch.cat(found)


def over_ties(right: Tensor, equal: Tensor, ks: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return expected average precision [q] and recall [q, len(ks)], float64, of rankings under random orders of ties.

    In closed form (McSherry and Najork 2008, "Computing information retrieval performance measures efficiently in the
    presence of tied scores").

    Args:
        right: [q, n] bool: the input is of the query's class; in any order that the similarity allows.
        equal: [q, n - 1] bool: the input is as near as the one before it.
        ks: of the recall, each at most n.
    """
    tie = F.pad((~equal).cumsum(1), (1, 0))  # [q, n]: which tie of its row each belongs to
    sizes = torch.zeros_like(tie).scatter_add_(1, tie, torch.ones_like(tie))
    hits = torch.zeros_like(tie).scatter_add_(1, tie, right.long())
    size, hit, start, met = (
        part.gather(1, tie).double() for part in (sizes, hits, sizes.cumsum(1) - sizes, hits.cumsum(1) - hits)
    )
    rank = torch.arange(1, right.shape[1] + 1, device=right.device)
    # The input at a rank is of the class with probability hit / size. Given that, one before it in its tie is with
    # probability (hit - 1) / (size - 1).
    inside = (rank - start - 1) * (hit - 1) / (size - 1).clamp(min=1)
    precision = (hit / size * (met + 1 + inside) / rank).sum(1) / right.sum(1)
    recalled = []
    for k in ks:
        size_k, hit_k, start_k = size[:, k - 1], hit[:, k - 1], start[:, k - 1]
        missed = (met[:, k - 1] == 0).double()
        for drawn in range(k):  # inputs from the tie, until there are k
            chance = (size_k - hit_k - drawn).clamp(min=0) / (size_k - drawn).clamp(min=1)
            missed = torch.where(start_k + drawn < k, missed * chance, missed)
        recalled.append(1 - missed)
    return precision, torch.stack(recalled, 1)


class Retrieval(Probe):
    """Each test input is a query and ranks all other test inputs.

    Args:
        ks: of recall at k.
        queries: most queries, evenly spaced.

    Raises:
        UserError: a k is not a positive whole number.
    """

    name = "retrieval"
    needs = "images"
    features_alone = True

    def __init__(self, ks: Sequence[int] = (1, 5, 10), queries: int = 10_000):
        self.ks, self.queries = check_counts("ks", ks), queries

    def run(self, features: Features) -> list[Result]:
        """Rank the test split; see `Probe.run`. The headline is ``map``, the mean average precision."""
        test, self.notices = features.test, []
        if features.classes < 2:
            self.notices = ["retrieval probe: left out, because there are no classes"]
            return []
        alone = torch.bincount(test.labels, minlength=features.classes)[test.labels] < 2
        queries = torch.nonzero(~alone).flatten()
        if not len(queries):
            self.notices = [f"retrieval probe: left out, because no class has two test {features.noun}s"]
            return []
        if alone.any():
            self.notices = [
                f"retrieval probe: {int(alone.sum())} test {features.noun}s alone in their class are no queries"
            ]
        queries = queries[:: -(-len(queries) // self.queries)]
        precision, found = ranked(test.features, test.labels, queries, self.ks)
        values = torch.cat([precision.double()[:, None], found.double()], 1).cpu()  # [q, 1 + len(ks)]
        means = values.T @ resamples(len(queries)).double() / len(queries)
        names = ["map", *(f"recall_at_{k}" for k in self.ks)]
        metrics = {name: summary(row[None]) for name, row in zip(names, means, strict=True)}
        settings = {"similarity": "cosine", "gallery": "the other test images", "queries": len(queries), "ks": self.ks}
        return [Result(self.name, "none", metrics, settings)]
