"""What is behind the mask? Patches of each image are hidden at random (He et al. 2022, arXiv:2111.06377)."""

import torch
from torch import Tensor

from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch, Task
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError
from ssl_cli.pretext.base import Pretext
from ssl_cli.system.transfer import send


class MaskedPatches(Pretext):
    """One whole view of each image, and a mask of the patches that the method must not see, equally many in each.

    Args:
        augment: the recipe, applied before.
        data: facts about the images.
        patch_size: side of a patch, in pixels.
        ratio: share of hidden patches, in (0, 1).
    """

    def __init__(self, augment: Augment, data: DataInfo, *, patch_size: int, ratio: float):
        super().__init__(augment, data)
        if data.image_size % patch_size:
            raise UserError(
                f"pretext.patch_size={patch_size} does not divide the images' {data.image_size} pixels; write another, "
                f"or another {data.size_key}"
            )
        self.side = data.image_size // patch_size
        self.hidden = round(ratio * self.side**2)
        if not 0 < self.hidden < self.side**2:
            raise UserError(
                f"pretext.ratio={ratio} hides {self.hidden} of {self.side**2} patches: some must be hidden, some seen"
            )

    def __call__(self, batch: Batch, generator: torch.Generator) -> Task:
        """Return one view [B, C, H, W] and masks [B, H / patch_size, W / patch_size], True where hidden."""
        views = self.views(batch.images, generator)
        order = torch.rand(len(batch.images), self.side**2, generator=generator, device=generator.device).argsort(1)
        masks = (order < self.hidden).view(-1, self.side, self.side)
        return Task(views, None, batch.labels, batch.indices, send(masks, batch.images.device))

    def shown(self, task: Task) -> dict[str, Tensor]:
        """Return the view, and the part that the method sees (hidden patches are black)."""
        view = self.visible(task.views[0])
        side = view.shape[2] // task.masks.shape[1]
        hidden = task.masks.repeat_interleave(side, 1).repeat_interleave(side, 2).unsqueeze(1)
        return {"what is left": view * ~hidden, "to be found": view}
