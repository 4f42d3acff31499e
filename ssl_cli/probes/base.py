"""What every probe is: features of a frozen backbone to rows of results."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass
class Split:
    """The labelled images of one split, as a frozen backbone sees them."""

    features: Tensor  # [n, d] float32
    labels: Tensor  # [n] int64 in 0..C-1


@dataclass
class Features:
    """The three splits: ``train`` fits, ``val`` chooses, ``test`` is scored once."""

    train: Split  # only the images whose label may be used
    val: Split
    test: Split
    classes: int  # C


class Probe(ABC):
    """A downstream task on frozen features."""

    name: str
    notices: Sequence[str] = ()  # one line for each thing that the last run left out

    @abstractmethod
    def run(self, features: Features) -> list[dict]:
        """Fit on train, choose on val, score test once.

        Returns:
            One row per label budget::

                {"probe", "labels", "split", "metric", "mean", "std", "n", "settings"}

            ``mean`` and ``std`` (sample standard deviation; None when ``n`` is 1) are over ``n`` draws of the
            labels; an accuracy is a fraction in [0, 1]; ``settings`` holds the protocol.
        """
