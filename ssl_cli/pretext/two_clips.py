"""Two segments of each clip, near each other in time (Qian et al. 2021, arXiv:2008.03800; Feichtenhofer et al. 2021,
arXiv:2104.14558).
"""

import torch

from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch, Task
from ssl_cli.data.clips.info import ClipInfo, segments
from ssl_cli.errors import UserError
from ssl_cli.pretext.base import Pretext


class TwoClips(Pretext):
    """Two segments of each clip, changed independently; how far apart they begin is drawn.

    A distance of d frames, up to the largest D, has a density proportional to ``(1 - d / (D + 1)) ^ nearer``.

    Args:
        augment: the recipe, drawn for each segment.
        data: facts about the clips.
        distance: largest time between the beginnings, in seconds; None: as much as a stored clip has room for.
        nearer: 0: all distances are equally likely (Feichtenhofer et al.); 1: they fall off linearly, which Qian et al.
            found best; larger: faster.

    Raises:
        UserError: ``distance`` is not a number of seconds.
    """

    def __init__(self, augment: Augment, data: ClipInfo, *, distance: float | None, nearer: float):
        super().__init__(augment, data)
        room = data.stored_frames - data.frames
        if distance is not None and not 0 <= distance < float("inf"):
            raise UserError(f"pretext.distance={distance} is neither a number of seconds, 0 or more, nor null")
        self.farthest = room if distance is None else min(room, int(distance * data.fps + 1e-6))
        apart = torch.arange(self.farthest + 1, dtype=torch.float64)
        self.weights = (1 - apart / (self.farthest + 1)) ** nearer

    def __call__(self, batch: Batch, generator: torch.Generator) -> Task:
        """Return two views [B, frames, C, size, size]; row i of both is of the same clip; no pseudo-label."""
        n, data, device = len(batch.labels), self.data, generator.device
        apart = torch.multinomial(self.weights.to(device), n, replacement=True, generator=generator)
        room = data.stored_frames - data.frames - apart + 1
        first = (torch.rand(n, generator=generator, device=device) * room).long()
        swapped = torch.rand(n, generator=generator, device=device) < 0.5  # either may be the earlier one
        starts = torch.where(swapped, first, first + apart), torch.where(swapped, first + apart, first)
        cut = torch.cat([segments(batch.inputs, start, data.frames) for start in starts])
        views = data.changed(self.augment, cut, generator, self.view_size).split(n)
        return Task(list(views), None, batch.labels, batch.indices)
