"""The train inputs as nodes of a graph, and the nodes nearest to an input."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.probes.knn import in_blocks
from ssl_cli.probes.progress import tracked
from ssl_cli.probes.scores.ties import distinct, settled
from ssl_cli.probes.solvers.spreading import Graph

Near = tuple[Tensor, Tensor]  # [m, K] cosines to the nearest nodes, the largest first, and the indices of these nodes


class Nodes:
    """The distinct ones of the train inputs, in a random order.

    Args:
        train: [N, d] features of the train inputs.
        others: [m, d] each, features of inputs that are no nodes and look for the nearest nodes.
        k: number of nearest nodes to find.
        chunk_bytes: bound on the similarities held at a time.
    """

    def __init__(self, train: Tensor, others: Sequence[Tensor], k: int, chunk_bytes: int):
        rows, place = distinct(settled(F.normalize(train, dim=1)))
        # Among equally near inputs the first ones count: their order must not follow the classes.
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)).to(train.device)
        self.rows, self.k, self.chunk_bytes = rows[order], k, chunk_bytes
        self.node = order.argsort() if place is None else order.argsort()[place]  # [N] of each train input
        self.near, *self.of_others = (
            self._nearest(queries, itself)
            for queries, itself in tracked([(self.rows, True), *((x, False) for x in others)])
        )
        self.graphs: dict[tuple[int, float], Graph] = {}

    def nearest(self, x: Tensor) -> Near:
        """Return the nodes nearest to inputs with features [m, d]."""
        return self._nearest(x.to(self.rows.device), False)

    def _nearest(self, queries: Tensor, itself: bool) -> Near:
        k = min(self.k, len(self.rows) - itself)
        queries, parts = F.normalize(queries, dim=1), []
        for at, similarity in in_blocks(lambda q: q @ self.rows.T, queries, len(self.rows), self.chunk_bytes):
            if itself:
                similarity.diagonal(at.start).fill_(-torch.inf)
            parts.append(similarity.topk(k, dim=1))
        empty = queries.new_empty(0, k)
        return (
            torch.cat([empty, *(part.values for part in parts)]),
            torch.cat([empty.long(), *(part.indices for part in parts)]),
        )

    def graph(self, k: int, power: float) -> Graph:
        """Return the graph of the k nearest neighbours, made once."""
        if (k, power) not in self.graphs:
            similarity, neighbours = self.near
            self.graphs[k, power] = Graph.of(similarity[:, :k], neighbours[:, :k], power)
        return self.graphs[k, power]

    def reach(self, graph: Graph, scores: Tensor, near: Near, k: int, power: float) -> Tensor:
        """Return the scores [m, G, C] of inputs near to nodes with scores [n, G, C]."""
        return graph.reach(scores.flatten(1), near[0][:, :k], near[1][:, :k], power).unflatten(1, scores.shape[1:])

    def seeds(self, rows: Tensor, labels: Tensor, classes: int) -> Tensor:
        """Return Y [n, G, C] of G draws: ``rows`` [G, m] of the train inputs that have ``labels`` [G, m]."""
        rows, labels = rows.to(self.node.device), labels.to(self.node.device)
        draws = torch.arange(len(rows), device=rows.device)[:, None].expand_as(rows)
        y = self.rows.new_zeros(len(self.rows), len(rows), classes)
        ones = y.new_ones(()).expand(rows.shape)
        return y.index_put_((self.node[rows], draws, labels), ones, accumulate=True)
