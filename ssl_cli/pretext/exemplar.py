"""Which input is it? Each input is a class of its own (Exemplar-CNN, Dosovitskiy et al. 2014, arXiv:1406.6909)."""

import torch

from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch, Target, Task
from ssl_cli.data.info import DataInfo
from ssl_cli.pretext.base import Pretext


class Exemplar(Pretext):
    """Each input, augmented: the label is its place in the data set. The head grows with the number of inputs."""

    def __init__(self, augment: Augment, data: DataInfo):
        super().__init__(augment, data)
        self.target = Target("class", data.images)

    def __call__(self, batch: Batch, generator: torch.Generator) -> Task:
        """Return one view [B, ...] and the inputs' positions [B]."""
        return Task(self.views(batch.inputs, generator), batch.indices, batch.labels, batch.indices)

    def answers(self, task: Task) -> list[str]:
        """Return the input's place in the data set."""
        return [f"{self.data.noun} {index:,}" for index in task.targets.tolist()]
