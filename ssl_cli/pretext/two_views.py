"""Two views of each input: what joint-embedding methods compare (Chen et al. 2020, arXiv:2002.05709)."""

import torch

from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch, Task
from ssl_cli.data.info import DataInfo
from ssl_cli.pretext.base import Pretext


class TwoViews(Pretext):
    """Each input twice, changed independently.

    ``augment2`` is a recipe of its own for the second view, as BYOL has (Grill et al. 2020, arXiv:2006.07733,
    appendix B); None draws both views from the same recipe.
    """

    resizes = True

    def __init__(self, augment: Augment, data: DataInfo, augment2: Augment | None = None):
        super().__init__(augment, data)
        self.augment2 = augment2

    def __call__(self, batch: Batch, generator: torch.Generator) -> Task:
        """Return two views; row i of both is of the same input; no pseudo-label."""
        if self.augment2 is None:
            views = self.views(batch.inputs, generator, count=2)
        else:
            views = self.views(batch.inputs, generator) + self.views(batch.inputs, generator, augment=self.augment2)
        return Task(views, None, batch.labels, batch.indices)
