"""Two large and several small views of each input (Caron et al. 2020, arXiv:2006.09882, section 3.2)."""

import torch
from torch import Tensor

from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch, Task
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError
from ssl_cli.pretext.base import Pretext


class MultiCrop(Pretext):
    """Two global views at the stored size, then ``local_views`` small crops at a lower resolution.

    Args:
        augment: the recipe; the two crops below replace its own.
        data: facts about the inputs.
        local_views: number of small views; 0 leaves the two global ones.
        local_size: side of the small views, as a fraction of a large one's (published: 96/224), rounded to even pixels.
        global_scale: area of the large crops [low, high], as a fraction of the input's.
        local_scale: area of the small crops.
        augment2: a recipe for the second large view; None: ``augment``. Its crop is replaced, too.
        augment_local: a recipe for the small views, as DINO has; None: ``augment``. Its crop is replaced, too.
    """

    def __init__(
        self,
        augment: Augment,
        data: DataInfo,
        *,
        local_views: int,
        local_size: float,
        global_scale: list[float],
        local_scale: list[float],
        augment2: Augment | None = None,
        augment_local: Augment | None = None,
    ):
        super().__init__(augment.cropped(global_scale, "pretext.global_scale"), data)
        self.augment2 = augment2 and augment2.cropped(global_scale)
        self.local_augment = (augment_local or augment).cropped(local_scale, "pretext.local_scale")
        self.local_views = local_views
        self.local_size = 2 * round(local_size * data.image_size / 2)
        if local_views and self.local_size < 8:
            raise UserError(
                f"pretext.local_size={local_size} of {data.image_size} pixels is {self.local_size}: local views need "
                f"at least 8 pixels; write pretext.local_size={8 / data.image_size:g} or pretext.local_views=0"
            )

    def __call__(self, batch: Batch, generator: torch.Generator) -> Task:
        """Return 2 views [B, ..., H, W] and ``local_views`` views [B, ..., local_size, local_size]."""
        if self.augment2 is None:
            views = self.views(batch.inputs, generator, count=2)
        else:
            views = self.views(batch.inputs, generator) + self.views(batch.inputs, generator, augment=self.augment2)
        if self.local_views:
            mean, std = self.data.mean, self.data.std
            views += self.local_augment(
                batch.inputs, mean, std, generator, views=self.local_views, size=self.local_size
            )
        return Task(views, None, batch.labels, batch.indices)

    def shown(self, task: Task) -> dict[str, Tensor]:
        """Return the views by size."""
        names = ["large 1", "large 2", *(f"small {i + 1}" for i in range(self.local_views))]
        return dict(zip(names, map(self.visible, task.views), strict=True))
