"""Ties: if features cannot tell inputs apart, the order of the stored inputs must not decide."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import normalize

ROUNDING = 1e-6  # of the largest value: smaller differences of features are float32's rounding


def settled(x: Tensor) -> Tensor:
    """Return features [n, d]: as they are, or all equal to the first if rounding alone makes a difference.

    A network gives the same input other last digits in another batch, and the order of classes makes the batches.
    """
    if len(x) > 1 and (x - x[:1]).abs().max() <= ROUNDING * x.abs().max():  # not where they are NaN
        return x[:1].expand_as(x)
    return x


def distinct(x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the distinct rows [u, d] of features [n, d], and the place [n] of each among them.

    If no two are equal, return the features as they are, and None.
    """
    rows, place = x.unique(dim=0, return_inverse=True)
    return (x, None) if len(rows) == len(x) else (rows, place)


class Gallery:
    """Inputs to compare queries with by cosine; equal inputs get equal cosines.

    A matrix product rounds columns at its edge and inside differently, so equal inputs could differ.
    """

    def __init__(self, features: Tensor):
        """Take the features [n, d] of the inputs; the vectors may have any length."""
        self.rows, self.place = distinct(settled(normalize(features, dim=1)))

    def cosines(self, queries: Tensor) -> Tensor:
        """Return the cosines [q, n] of queries [q, d] of unit length."""
        found = queries @ self.rows.T
        return found if self.place is None else found[:, self.place]


@dataclass
class Guess:
    """The most probable class of each input; of several such classes each has the same chance."""

    predicted: Tensor  # [n] int64: of several classes one at random, by draws that do not depend on classes
    confidence: Tensor  # [n] its probability
    tied: Tensor  # [t] int64: inputs with several most probable classes
    among: Tensor  # [t, C] bool: these classes

    @classmethod
    def of(cls, probabilities: Tensor, draws: Tensor) -> "Guess":
        """Return the guesses from probabilities [n, C]; ``draws`` [n] in [0, 1) decide between equal ones."""
        best = probabilities.max(1)
        among = probabilities >= (1 - ROUNDING) * best.values[:, None]
        count = among.sum(1)
        tied = (count > 1).nonzero().squeeze(1)
        among, predicted = among[tied], best.indices
        if len(tied):
            drawn = (draws[tied] * count[tied]).long()[:, None]
            predicted[tied] = (among & (among.cumsum(1) - 1 == drawn)).byte().argmax(1)
        return cls(predicted, best.values, tied, among)

    @classmethod
    def joined(cls, parts: Sequence["Guess"]) -> "Guess":
        """Return the guesses of the inputs of all parts."""
        starts = itertools.accumulate((len(part.predicted) for part in parts[:-1]), initial=0)
        tied = [part.tied + start for part, start in zip(parts, starts, strict=True)]
        rest = [[getattr(part, name) for part in parts] for name in ("predicted", "confidence", "among")]
        predicted, confidence, among = map(torch.cat, rest)
        return cls(predicted, confidence, torch.cat(tied), among)

    def cpu(self) -> "Guess":
        """Return the same on the CPU."""
        return Guess(*(getattr(self, f.name).cpu() for f in fields(self)))

    def chance(self) -> Tensor:
        """Return the chance [t, C] float64 of each class, of the tied inputs."""
        return self.among.double() / self.among.sum(1, keepdim=True)

    def right(self, truth: Tensor) -> Tensor:
        """Return the chance [n] float64 in [0, 1] that the class of each input is ``truth`` [n]."""
        right = (self.predicted == truth).double()
        right[self.tied] = self.chance().gather(1, truth[self.tied, None]).squeeze(1)
        return right


def tie_draws(n: int, device: torch.device) -> Tensor:
    """Return a number [n] in [0, 1) for each of n inputs, always the same."""
    return torch.rand(n, generator=torch.Generator().manual_seed(0)).to(device)
