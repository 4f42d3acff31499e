"""By how much is the image turned? Gidaris et al. 2018, arXiv:1803.07728."""

import torch

from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch, Target, Task
from ssl_cli.data.info import DataInfo
from ssl_cli.pretext.base import Pretext
from ssl_cli.system.transfer import send


class Rotation(Pretext):
    """Each image turned counter-clockwise by 0, 90, 180 or 270 degrees: the label is 0, 1, 2 or 3.

    The turns move pixels exactly, so no interpolation gives them away.

    Args:
        augment: the recipe, applied before.
        data: facts about the images.
        all_four: give all four turns of each image, image after image, not one at random.
    """

    target = Target("class", 4)

    def __init__(self, augment: Augment, data: DataInfo, *, all_four: bool):
        super().__init__(augment, data)
        self.all_four = all_four

    def __call__(self, batch: Batch, generator: torch.Generator) -> Task:
        """Return one view [B', C, H, W] and labels [B'], with B' = 4 B for ``all_four``."""
        (images,) = self.views(batch.images, generator)
        turned = torch.stack([torch.rot90(images, turns, (2, 3)) for turns in range(4)], dim=1)  # [B, 4, C, H, W]
        if self.all_four:
            targets = torch.arange(4, device=images.device).repeat(len(images))
            repeated = (tensor.repeat_interleave(4) for tensor in (batch.labels, batch.indices))
            return Task([turned.flatten(0, 1)], targets, *repeated)
        targets = torch.randint(4, (len(images),), generator=generator, device=generator.device)
        targets = send(targets, images.device)
        return Task(
            [turned[torch.arange(len(images), device=images.device), targets]], targets, batch.labels, batch.indices
        )

    def answers(self, task: Task) -> list[str]:
        """Return the turn of each row."""
        return [f"turned by {90 * turns}°" for turns in task.targets.tolist()]
