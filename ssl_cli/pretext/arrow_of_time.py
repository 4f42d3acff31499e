"""Is it played forwards or backwards? Wei et al. 2018, Learning and Using the Arrow of Time."""

import torch

from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch, Target, Task
from ssl_cli.data.clips.info import ClipInfo
from ssl_cli.errors import UserError
from ssl_cli.pretext.base import Pretext
from ssl_cli.system.transfer import send


class ArrowOfTime(Pretext):
    """A segment of each clip, its frames in reversed order in half of the cases: the label is whether they are.

    Args:
        augment: the recipe.
        data: facts about the clips.

    Raises:
        UserError: a view has a single frame.
    """

    target = Target("class", 2)

    def __init__(self, augment: Augment, data: ClipInfo):
        super().__init__(augment, data)
        if data.frames < 2:
            raise UserError("one frame has no order; write dataset.view_frames=2 or more")

    def __call__(self, batch: Batch, generator: torch.Generator) -> Task:
        """Return one view [B, frames, C, size, size] and labels [B]: 1 where it runs backwards."""
        (clips,) = self.views(batch.inputs, generator)
        targets = torch.randint(2, (len(clips),), generator=generator, device=generator.device)
        targets = send(targets, clips.device)
        turned = torch.where((targets == 1).view(-1, 1, 1, 1, 1), clips.flip(1), clips)
        return Task([turned], targets, batch.labels, batch.indices)

    def answers(self, task: Task) -> list[str]:
        """Return which way each row runs."""
        return ["backwards" if target else "forwards" for target in task.targets.tolist()]
