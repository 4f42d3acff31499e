"""Label spreading on a graph of nearest neighbours (Zhou et al. 2004, "Learning with Local and Global Consistency")."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.probes.progress import tracked

TOLERANCE = 1e-6  # of the largest score: the most that the cut end of the series may change


@dataclass
class Graph:
    """Inputs as nodes: W = A + A', where A[i, j] = max(0, s)^p of the cosine s if j is one of the k nearest of i.

    Its matrix is S = D^-1/2 W D^-1/2 with the row sums D of W.
    """

    starts: Tensor  # [n] int64: where the neighbours of each node begin in ``columns`` and ``weights``
    columns: Tensor  # [e] int64
    weights: Tensor  # [e] entries of S
    scale: Tensor  # [n] D^-1/2; 1 for a node without neighbours

    @classmethod
    def of(cls, similarity: Tensor, neighbours: Tensor, power: float) -> "Graph":
        """Return the graph of n nodes, none of them its own neighbour.

        Args:
            similarity: [n, k] cosines to the nearest others.
            neighbours: [n, k] int64, their indices.
            power: p > 0; a larger one gives the nearest more weight.
        """
        n, k = neighbours.shape
        nodes = torch.arange(n, device=neighbours.device).repeat_interleave(k)
        there = neighbours.flatten()
        edges, place = torch.cat([nodes * n + there, there * n + nodes]).unique(return_inverse=True)
        weights = _weights(similarity, power).flatten().repeat(2)
        weights = weights.new_zeros(len(edges)).index_add_(0, place, weights)
        rows, columns = edges // n, edges % n
        degree = weights.new_zeros(n).index_add_(0, rows, weights)
        scale = torch.where(degree > 0, degree.rsqrt(), 1.0)
        starts = torch.bincount(rows, minlength=n).cumsum(0).roll(1)
        starts[:1] = 0
        return cls(starts, columns, weights * scale[rows] * scale[columns], scale)

    def times(self, x: Tensor) -> Tensor:
        """Return S x of x [n, c]."""
        return F.embedding_bag(self.columns, x, self.starts, mode="sum", per_sample_weights=self.weights)

    def reach(self, scores: Tensor, similarity: Tensor, neighbours: Tensor, power: float) -> Tensor:
        """Return the scores [m, c] of inputs outside the graph, from the scores of its nodes [n, c].

        Up to a factor for each input, they equal the scores of nodes that listen to the graph and that no node hears.

        Args:
            scores: as `spread` returns them.
            similarity: [m, k] cosines to the nearest nodes.
            neighbours: [m, k] int64, their indices.
            power: of the graph.
        """
        weights = _weights(similarity, power) * self.scale[neighbours]
        return F.embedding_bag(neighbours, scores, mode="sum", per_sample_weights=weights)


def spread(graph: Graph, seeds: Tensor, alphas: Sequence[float], tolerance: float = TOLERANCE) -> list[Tensor]:
    """Return F = (I - alpha S)^-1 Y for each alpha (Zhou et al. 2004, after equation 4).

    The inverse is a series of Chebyshev polynomials: 1 / (1 - alpha x) = (T_0(x) + 2 sum_i q^i T_i(x)) / r on [-1, 1],
    where the eigenvalues of S are, with r = sqrt(1 - alpha^2) and q = (1 - r) / alpha. All alphas share its terms. It
    needs about the square root of the number of powers of alpha S: 43 terms for 0.95, not 270 powers. A node that no
    label reaches stays exactly 0.

    Args:
        graph: of n nodes.
        seeds: Y [n, c], one or more if a node has a label of class c, else 0.
        alphas: each in (0, 1): how much a node listens to its neighbours and not to its own label.
        tolerance: of the largest score: the most that the cut end of the series may change.

    Returns:
        [n, c] for each alpha.
    """
    roots = [math.sqrt(1 - alpha * alpha) for alpha in alphas]
    ratios = [(1 - root) / alpha for root, alpha in zip(roots, alphas, strict=True)]
    lengths = [math.ceil(math.log(tolerance) / math.log(ratio)) for ratio in ratios]
    before, term = seeds, graph.times(seeds)
    sums = [seeds + 2 * ratio * term for ratio in ratios]
    for i in tracked(range(2, max(lengths) + 1)):
        before, term = term, graph.times(term).mul_(2).sub_(before)
        for total, ratio, length in zip(sums, ratios, lengths, strict=True):
            if i <= length:
                total.add_(term, alpha=2 * ratio**i)
    return [total.div_(root).clamp_(min=0) for total, root in zip(sums, roots, strict=True)]


def _weights(similarity: Tensor, power: float) -> Tensor:
    return similarity.clamp(min=0) ** power
