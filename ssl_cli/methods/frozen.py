"""No training: keep, measure and export the network as it is."""

from typing import ClassVar

from torch import Tensor

from ssl_cli.batch import Task
from ssl_cli.methods.base import Method


class Frozen(Method):
    """A backbone and nothing else: a run without steps, to compare other runs with."""

    trains: ClassVar[bool] = False

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Never called: there is no step."""
        raise NotImplementedError("method=frozen has no loss")
