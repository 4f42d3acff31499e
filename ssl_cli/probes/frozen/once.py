"""Features that several probes share: of each input they are computed once."""

from collections.abc import Callable

import torch
from torch import Tensor


class FeaturesOnce:
    """The features of one model's inputs.

    Args:
        network: positions [n] in the data set to features [n, d].
        count: inputs of the data set.
        device: where the features go.
    """

    def __init__(self, network: Callable[[Tensor], Tensor], count: int, device: torch.device | str):
        self.network, self.device = network, device
        self.row = torch.full((count,), -1)  # of each input in what was computed; -1: it was not
        self.parts: list[Tensor] = []
        self.given: dict[bytes, Tensor] = {}  # positions -> features

    def __call__(self, at: Tensor) -> Tensor:
        """Return the features [n, d] of the inputs at positions [n], on the device."""
        place = at.numpy().tobytes()
        if place not in self.given:
            self.given[place] = self._found(at)
        return self.given[place]

    def _found(self, at: Tensor) -> Tensor:
        missing = at[self.row[at] < 0]
        if len(missing) or not len(at):
            found = self.network(missing).to(self.device)
            start = sum(map(len, self.parts))
            self.row[missing] = torch.arange(start, start + len(missing))
            self.parts.append(found)
            if len(missing) == len(at):
                return found
        return torch.cat(self.parts)[self.row[at]]
