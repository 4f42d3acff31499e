"""Label spreading (Zhou et al. 2004): few labels reach all train inputs through the graph of nearest neighbours."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.errors import UserError
from ssl_cli.probes.base import Features, Probe, Result, Spread, check_budgets, check_counts, fewer_draws
from ssl_cli.probes.progress import tracked
from ssl_cli.probes.scores.ties import Guess, tie_draws
from ssl_cli.probes.solvers.logistic import MANY
from ssl_cli.probes.solvers.nodes import Nodes
from ssl_cli.probes.solvers.spreading import spread

COLUMNS = 8_000_000  # scores computed at a time: inputs times classes times draws
WORK = 10_000_000  # most inputs times classes of a graph with many classes
EXPONENTS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # turn scores into probabilities; val chooses one
FLOOR = 1e-4  # of the sum of an input's scores: the least that each class gets, for its probability


class Propagate(Probe):
    """Classes by label spreading on the k nearest neighbour graph of the train inputs, labelled or not.

    Labels spread over the graph of train inputs. An input of val or test is no part of the graph: it gets its class
    from its neighbours there. Val chooses the settings for each draw of the labels: best accuracy, the first of equal
    ones; if val has no label, the first of each list is used. Equal inputs are one node. Inputs that no label reaches
    may have any class. Confidences are scores to a power that val chooses, by cross-entropy.

    Args:
        labels: budgets: ``all``, ``10/class``, ``10%``; ``all`` is left out if every train input has a label.
        draws: random draws of each budget other than ``all``, with seeds 0, 1, ...; beyond 256 classes fewer, as in
            `Linear`.
        neighbours: candidates for k; beyond 256 classes only the first.
        alphas: candidates for alpha in (0, 1), the share that an input takes from its neighbours.
        powers: candidates for p > 0: a neighbour of cosine s weighs s^p; beyond 256 classes only the first.
        images: most inputs of the graph: all with a label in any draw, and others at random; beyond 256 classes fewer:
            inputs times classes are 10 million.
        chunk: bound on the similarities held at a time, in MiB.

    Raises:
        UserError: a budget cannot be read, or a candidate is out of range.
    """

    name = "propagate"
    needs = "mixed"
    features_alone = True

    def __init__(
        self,
        labels: Sequence[str] = ("all", "10/class", "1/class"),
        draws: int = 10,
        neighbours: Sequence[int] = (10, 5, 20),
        alphas: Sequence[float] = (0.9, 0.95, 0.8),
        powers: Sequence[float] = (1.0, 3.0),
        images: int = 10_000,
        chunk: int = 256,
    ):
        self.labels, self.count, self.images, self.chunk = check_budgets(labels), draws, images, chunk
        check_counts("neighbours", neighbours)
        _check("alphas", alphas, "numbers between 0 and 1: [0.9,0.95]", lambda value: 0 < value < 1)
        _check("powers", powers, "positive numbers: [1,3]", lambda value: value > 0)
        self.neighbours, self.alphas, self.powers = list(neighbours), list(alphas), list(powers)

    def wanted(self, features: Features) -> Tensor:
        """Return the train inputs [m] of the graph: those of all draws, and others at random."""
        positions, most = features.train.positions, self._most(features)
        if len(positions) <= most:
            return positions
        at = features.labelled.positions
        drawn = [at[rows].flatten() for _, rows, _ in self._drawn(features)]
        kept = torch.isin(positions, torch.cat([positions[:0], *drawn]))
        others = (~kept).nonzero().squeeze(1)
        generator = torch.Generator().manual_seed(0)
        kept[others[torch.randperm(len(others), generator=generator)[: max(0, most - int(kept.sum()))]]] = True
        return positions[kept]

    def run(self, features: Features) -> list[Result]:
        """Spread the labels of each draw and score the test split; see `Probe.run`."""
        self.notices = []
        train, results = features.train, []
        if len(features.rest):
            self._say(f": a graph of {len(train.labels):,} of the {_train_size(features):,} train {features.noun}s")
        if features.classes > MANY:
            few = f"{self._draws(features)} draws and {self.neighbours[0]} neighbours"
            self._say(f": {few}, because there are {features.classes} classes")
        if not len(features.val.labels):
            self._say(": val has no label to choose settings on, so the first of each list are used")
        others = [features.val.features, features.test.features]
        for part in tracked(("graph", "labels")):
            if part == "graph":
                nodes = Nodes(train.features, others, max(self.neighbours), self.chunk * 2**20)
            else:
                results = [self._spread(features, nodes, *drawn) for drawn in self._drawn(features)]
        if not results and not self.notices:
            self._say(f": left out, because every train {features.noun} has its label; write probe.labels=[10/class]")
        return results

    def _say(self, what: str) -> None:
        self.notices = [*self.notices, f"propagate probe{what}"]

    def _most(self, features: Features) -> int:
        return self.images if features.classes <= MANY else min(self.images, WORK // features.classes)

    def _draws(self, features: Features) -> int:
        return fewer_draws(self.count, features.classes, MANY)

    def _drawn(self, features: Features) -> Iterator[tuple[str, Tensor, dict]]:
        """Yield from `Probe.draws`, without draws of all train inputs or of more than the graph may hold."""
        most = self._most(features)
        for budget, rows, how in self.draws(features, self.labels, self._draws(features)):
            if rows.shape[1] > most:
                room = f"{most:,} {features.noun}s (probe.images)"
                self._say(f" with {budget} labels: left out, because a graph has at most {room}")
            elif rows.shape[1] < _train_size(features):
                yield budget, rows, how

    def _settings(self, features: Features) -> list[tuple[int, float]]:
        """Return the candidates for k and the power, in their order."""
        pairs = list(itertools.product(self.neighbours, self.powers))
        return pairs[:1] if features.classes > MANY else pairs

    def _spread(self, features: Features, nodes: "Nodes", budget: str, rows: Tensor, how: dict) -> Result:
        positions, labels = (part[rows.cpu()] for part in (features.labelled.positions, features.labelled.labels))
        seeds = nodes.seeds(torch.searchsorted(features.train.positions, positions), labels, features.classes)
        chooses, (val, test) = len(features.val.labels) > 0, nodes.of_others
        pairs, alphas = self._settings(features), self.alphas
        if not chooses:
            pairs, alphas = pairs[:1], alphas[:1]
        best = [_Best() for _ in rows]  # one a draw
        for k, power in tracked(pairs):
            graph = nodes.graph(k, power)
            step = max(1, COLUMNS // seeds[:, 0].numel())
            for start in tracked(range(0, len(rows), step)):
                some = seeds[:, start : start + step]
                for alpha, scores in zip(alphas, spread(graph, some.flatten(1), alphas), strict=True):
                    scores = scores.unflatten(1, some.shape[1:])
                    near = nodes.reach(graph, scores, val, k, power)
                    right = _accuracies(near, features.val.labels)
                    for draw, accuracy in enumerate(right, start):
                        best[draw].offer(accuracy, (k, alpha, power), scores[:, draw - start], near[:, draw - start])
        guesses = []
        for found in best:
            k, _, power = found.settings
            found.exponent = _exponent(found.near, features.val.labels) if chooses else 1.0
            scores = nodes.reach(nodes.graph(k, power), found.scores[:, None], test, k, power)[:, 0]
            guesses.append(_guess(scores, found.exponent))
        settings = {
            **how,
            "graph_images": len(features.train.labels),
            "similarity": "cosine",
            "settings_chosen_on": "val" if chooses else "nothing: val has no label",
            "neighbours": [k for k in self.neighbours if any(k == pair[0] for pair in pairs)],
            "alphas": alphas,
            "powers": [p for p in self.powers if any(p == pair[1] for pair in pairs)],
        }
        names = ("neighbours", "alpha", "power")
        chosen = {name: [found.settings[i] for found in best] for i, name in enumerate(names)}
        chosen["exponent"] = [found.exponent for found in best]
        result = self.guessed(features, budget, guesses, settings, chosen)
        result.spread = Spread(positions, labels, lambda: _to_all(features, nodes, best, positions, labels))
        return result


@dataclass
class _Best:
    """The best settings of a draw on val so far."""

    accuracy: float = -1.0
    settings: tuple[int, float, float] = (0, 0.0, 0.0)  # k, alpha, power
    scores: Tensor | None = None  # [n nodes, C]
    near: Tensor | None = None  # [val inputs, C]
    exponent: float = 1.0

    def offer(self, accuracy: float, settings: tuple, scores: Tensor, near: Tensor) -> None:
        if accuracy > self.accuracy:
            self.accuracy, self.settings, self.scores, self.near = accuracy, settings, scores.clone(), near.clone()


def _to_all(
    features: Features, nodes: Nodes, best: Sequence[_Best], labelled: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the function `Spread.to_all`: inputs outside the graph get their labels from neighbours in it."""
    positions = torch.cat([features.train.positions, features.rest])
    outside = None
    if len(features.rest):
        outside = nodes.nearest(features.source(features.rest))
    found, sure = [], []
    for draw, choice in enumerate(best):
        k, _, power = choice.settings
        scores = choice.scores[nodes.node]
        if outside is not None:
            graph = nodes.graph(k, power)
            scores = torch.cat([scores, nodes.reach(graph, choice.scores[:, None], outside, k, power)[:, 0]])
        guess = _guess(scores, choice.exponent).cpu()
        place = torch.searchsorted(features.train.positions, labelled[draw])  # the graph has all labelled inputs
        guess.predicted[place], guess.confidence[place] = labels[draw].cpu(), 1.0
        found.append(guess.predicted)
        sure.append(guess.confidence)
    order = positions.argsort()
    return positions[order], torch.stack(found)[:, order], torch.stack(sure)[:, order]


def _train_size(features: Features) -> int:
    return len(features.train.labels) + len(features.rest)


def _accuracies(scores: Tensor, truth: Tensor) -> list[float]:
    """Return the expected accuracy [G] of scores [n, G, C]; 0 without inputs."""
    if not len(truth):
        return [0.0] * scores.shape[1]
    guess = Guess.of(scores.transpose(0, 1).flatten(0, 1), tie_draws(scores[..., 0].numel(), scores.device))
    return guess.right(truth.repeat(scores.shape[1])).view(scores.shape[1], -1).mean(1).tolist()


def _guess(scores: Tensor, exponent: float) -> Guess:
    """Return the classes of scores [n, C]; ties are found before powers of the scores are rounded."""
    guess = Guess.of(scores, tie_draws(len(scores), scores.device))
    guess.confidence = _probabilities(scores, exponent).amax(1)
    return guess


def _probabilities(scores: Tensor, exponent: float) -> Tensor:
    """Return probabilities [n, C] from scores [n, C] >= 0; equal ones if no label reaches an input."""
    total = scores.sum(1, keepdim=True)
    share = torch.where(total > 0, scores / total, 1 / scores.shape[1])
    return (exponent * (share + FLOOR / scores.shape[1]).log()).softmax(1)


def _exponent(scores: Tensor, truth: Tensor) -> float:
    """Return the exponent whose probabilities have the smallest cross-entropy."""
    losses = [F.nll_loss(_probabilities(scores, e).log(), truth).item() for e in EXPONENTS]
    return EXPONENTS[losses.index(min(losses))]


def _check(key: str, values: Sequence[float], wanted: str, holds) -> None:
    if not values or not all(type(value) in (int, float) and holds(value) for value in values):
        raise UserError(f"probe.{key}={list(values)}: write {wanted}")
