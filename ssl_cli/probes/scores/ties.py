"""Ties: where features cannot tell images apart, the order in which the images are stored must not decide."""

from torch import Tensor
from torch.nn.functional import normalize

ROUNDING = 1e-6  # of the largest value: features that differ by less have float32's rounding in them, and nothing else


def settled(x: Tensor) -> Tensor:
    """Return features [n, d]: as they are, or all equal to the first if rounding alone makes a difference.

    A network gives the same image other last digits in another batch, and batches follow the order of the classes.
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
    """Images that queries are compared with by cosine; equal ones get equal cosines.

    A matrix product rounds a column at its edge otherwise than one inside, so that equal images would differ.
    """

    def __init__(self, features: Tensor):
        """Take the features [n, d] of the images; the vectors may have any length."""
        self.rows, self.place = distinct(settled(normalize(features, dim=1)))

    def cosines(self, queries: Tensor) -> Tensor:
        """Return the cosines [q, n] of queries [q, d] of unit length."""
        found = queries @ self.rows.T
        return found if self.place is None else found[:, self.place]
