"""How fast is it played? Wang et al. 2020, arXiv:2008.05861; Benaim et al. 2020, arXiv:2004.06130."""

from collections.abc import Sequence

import torch

from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch, Target, Task
from ssl_cli.data.clips.info import ClipInfo, segments
from ssl_cli.errors import UserError
from ssl_cli.pretext.base import Pretext
from ssl_cli.system.transfer import send


class Pace(Pretext):
    """Every n-th frame of each clip, n drawn from a few paces: the label says which.

    Views of all paces have equally many frames, at most those that a network sees of a clip, from any start.

    Args:
        augment: the recipe.
        data: facts about the clips.
        paces: the n, two or more different ones, each 1 or more.

    Raises:
        UserError: ``paces`` is something else, or the fastest leaves a single frame.
    """

    def __init__(self, augment: Augment, data: ClipInfo, *, paces: Sequence[int]):
        super().__init__(augment, data)
        whole = all(type(pace) is int and pace >= 1 for pace in paces)
        if not whole or len(set(paces)) != len(paces) or len(paces) < 2:
            raise UserError(
                f"pretext.paces={list(paces)} is not a list of two or more different whole numbers, as in [1,2,3]"
            )
        self.paces = torch.tensor(list(paces))
        self.frames = min(data.frames, (data.stored_frames - 1) // max(paces) + 1)
        if self.frames < 2:
            raise UserError(
                f"pretext.paces={list(paces)}: of clips of {data.stored_frames} frames the fastest leaves only one; "
                f"write paces up to {data.stored_frames - 1}, or more dataset.frames"
            )
        self.target = Target("class", len(paces))

    def __call__(self, batch: Batch, generator: torch.Generator) -> Task:
        """Return one view [B, T, C, size, size] and which pace it has [B]."""
        n, device = len(batch.labels), generator.device
        targets = torch.randint(len(self.paces), (n,), generator=generator, device=device)
        pace = self.paces.to(device)[targets]
        room = self.data.stored_frames - (self.frames - 1) * pace
        start = (torch.rand(n, generator=generator, device=device) * room).long()
        cut = segments(batch.inputs, start, self.frames, pace)
        view = self.data.changed(self.augment, cut, generator, self.view_size)
        return Task([view], send(targets, view.device), batch.labels, batch.indices)

    def answers(self, task: Task) -> list[str]:
        """Return how fast each row is played."""
        return [f"{self.paces[target]}x" for target in task.targets.tolist()]
