"""What every pretext task is: the data side of a method."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch, Target, Task
from ssl_cli.data.info import DataInfo
from ssl_cli.photos import Photos


class Pretext(ABC):
    """Makes a task of a batch: its views and, where it defines them, its pseudo-labels.

    A pretext works on the whole batch, on the batch's device, and takes its randomness from the generator that it is
    given, so that the same generator gives the same task.
    """

    target: Target | None = None  # what its pseudo-labels are, where it makes any
    resizes: bool = False  # whether ``view_size`` may change from step to step (`trainer.progressive`)

    def __init__(self, augment: Augment, data: DataInfo):
        self.augment = augment
        self.data = data
        self.view_size = data.view_size  # pixels; side of the views that `views` makes, where they have one

    @abstractmethod
    def __call__(self, batch: Batch, generator: torch.Generator) -> Task:
        """Return the task for inputs as stored: images [B, C, H, W] uint8, or whole photos; `views` makes its views."""

    @property
    def cuts_photos(self) -> bool:
        """Whether views are cut from anywhere in images that are stored whole."""
        return getattr(self.augment, "cuts_photos", False)

    def views(
        self, inputs: Tensor | Photos, generator: torch.Generator, count: int = 1, augment: Augment | None = None
    ) -> list[Tensor]:
        """Return ``count`` independently changed versions of the inputs: of images [B, C, size, size] float.

        ``augment`` replaces the recipe that the pretext was built with.
        """
        return self.data.views(augment or self.augment, inputs, generator, count, self.view_size)

    def shown(self, task: Task) -> dict[str, Any]:
        """Return what a person should see of a task: heading -> what `visible` returns, in this order."""
        one = len(task.views) == 1
        return {"view" if one else f"view {i}": self.visible(view) for i, view in enumerate(task.views, 1)}

    def answers(self, task: Task) -> list[str]:
        """Return the pseudo-label of each row in words; nothing where it is none that words could say."""
        if task.targets is None or task.targets.ndim != 1:
            return []
        return [f"label {target}" for target in task.targets.tolist()]

    def visible(self, view: Tensor) -> Any:
        """Return a view as a person sees it: pixels [B', C, h, w] in [0, 1], or B' texts."""
        return self.data.visible(view)
