"""One changed view: what supervised training needs."""

import torch

from ssl_cli.batch import Batch, Task
from ssl_cli.pretext.base import Pretext


class OneView(Pretext):
    """Each input once, changed by the recipe, with its label."""

    resizes = True

    def __call__(self, batch: Batch, generator: torch.Generator) -> Task:
        """Return one view; no pseudo-label."""
        return Task(self.views(batch.inputs, generator), None, batch.labels, batch.indices)
