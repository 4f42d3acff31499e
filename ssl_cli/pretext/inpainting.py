"""What is in the hole? Context encoders, Pathak et al. 2016, arXiv:1604.07379; the reconstruction loss alone."""

import torch
from torch import Tensor

from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch, Target, Task
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError
from ssl_cli.pretext.base import Pretext
from ssl_cli.system.transfer import send


class Inpainting(Pretext):
    """Each image with a square cut out and filled with the mean colour; the target is the whole image.

    Args:
        augment: the recipe, applied before.
        data: facts about the images.
        hole: side of the square, as a fraction of the image's.
        centred: cut out the middle, as published, not a random place.
    """

    def __init__(self, augment: Augment, data: DataInfo, *, hole: float, centred: bool):
        super().__init__(augment, data)
        self.side, self.centred = round(hole * data.image_size), centred
        if not 0 < self.side < data.image_size:
            raise UserError(
                f"pretext.hole={hole} of {data.image_size} pixels is {self.side}: some must be hidden and some seen; "
                "write pretext.hole=0.5"
            )
        self.target = Target("pixels", data.channels)

    def __call__(self, batch: Batch, generator: torch.Generator) -> Task:
        """Return the image with its hole [B, C, H, W], the whole image [B, C, H, W] and the hole [B, H, W]."""
        (images,) = self.views(batch.images, generator)
        n, height = len(images), images.shape[2]
        room = height - self.side
        corner = torch.randint(room + 1, (2, n, 1), generator=generator, device=generator.device)
        corner = torch.full_like(corner, room // 2) if self.centred else corner
        corner = send(corner, images.device)
        place = torch.arange(height, device=images.device)
        inside = (place >= corner) & (place < corner + self.side)  # [2, B, H]
        masks = inside[0].unsqueeze(2) & inside[1].unsqueeze(1)
        return Task([images.masked_fill(masks.unsqueeze(1), 0.0)], images, batch.labels, batch.indices, masks)

    def shown(self, task: Task) -> dict[str, Tensor]:
        """Return the image with its hole, and the whole image: the network finds what was in the hole."""
        return {"with a hole": self.visible(task.views[0]), "to be found": self.visible(task.targets)}
