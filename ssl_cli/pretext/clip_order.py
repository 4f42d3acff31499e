"""In which order are the pieces? Xu et al. 2019, Self-supervised Spatiotemporal Learning via Clip Order Prediction."""

import itertools
import math

import torch
from torch import Tensor

from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch, Target, Task
from ssl_cli.data.clips.info import ClipInfo
from ssl_cli.errors import UserError
from ssl_cli.pretext.base import Pretext
from ssl_cli.system.transfer import send


class ClipOrder(Pretext):
    """Short pieces of each clip, shuffled: the label is by which permutation. Within a piece time runs forwards.

    View i shows piece ``permutation[i]``. Each is cut at random from its share of the clip, so that there is a gap
    between most; all are changed alike, so that they go on where the one before ended.

    Args:
        augment: the recipe, drawn once for all pieces of a clip.
        data: facts about the clips.
        pieces: how many, 2 to 5.
        gap: frames that a piece is shorter than its share.

    Raises:
        UserError: so many pieces with such a gap leave less than two frames each.
    """

    def __init__(self, augment: Augment, data: ClipInfo, *, pieces: int, gap: int):
        super().__init__(augment, data)
        self.pieces, self.share = pieces, data.stored_frames // pieces
        self.frames = min(data.frames, self.share - gap)
        if self.frames < 2:
            raise UserError(
                f"pretext.pieces={pieces} with pretext.gap={gap}: of clips of {data.stored_frames} frames less than "
                "two are left for each; write fewer pieces, a smaller gap, or more dataset.frames"
            )
        self.permutations = torch.tensor(list(itertools.permutations(range(pieces))))
        self.target = Target("class", math.factorial(pieces), pieces=pieces)

    def __call__(self, batch: Batch, generator: torch.Generator) -> Task:
        """Return ``pieces`` views [B, T, C, size, size] and which permutation was used [B]."""
        n, device = len(batch.labels), generator.device
        within = torch.randint(self.share - self.frames + 1, (n, self.pieces), generator=generator, device=device)
        targets = torch.randint(len(self.permutations), (n,), generator=generator, device=device)
        order = self.permutations.to(device)[targets]  # [B, pieces]
        start = order * self.share + within.gather(1, order)
        time = (start.unsqueeze(2) + torch.arange(self.frames, device=device)).flatten(1)  # [B, pieces * T]
        time = send(time, batch.inputs.device)
        cut = batch.inputs[torch.arange(n, device=time.device).unsqueeze(1), time]
        views = self.data.changed(self.augment, cut, generator, self.view_size).split(self.frames, dim=1)
        return Task(list(views), send(targets, views[0].device), batch.labels, batch.indices)

    def shown(self, task: Task) -> dict[str, Tensor]:
        """Return the pieces as they are given."""
        return {f"piece {place}": self.visible(view) for place, view in enumerate(task.views, 1)}

    def answers(self, task: Task) -> list[str]:
        """Return which piece, counted from 1 in time, is at each place."""
        order = self.permutations.to(task.targets.device)[task.targets] + 1
        return ["pieces " + " ".join(map(str, row)) for row in order.tolist()]
