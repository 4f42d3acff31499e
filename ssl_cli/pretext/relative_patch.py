"""Where does the second patch lie, seen from the first? Doersch et al. 2015, arXiv:1505.05192."""

import torch
from torch import Tensor

from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch, Target, Task
from ssl_cli.data.info import DataInfo
from ssl_cli.pretext.base import Pretext
from ssl_cli.pretext.patches import check_tiles, cut, enlarge, mosaic
from ssl_cli.system.transfer import send

PLACES = ("above left", "above", "above right", "left", "right", "below left", "below", "below right")


def drop_channels(patches: Tensor, generator: torch.Generator) -> Tensor:
    """Replace two of three channels of each patch [B, 3, h, w] by noise with 1/100 of the third one's deviation.

    A lens focuses colours a little apart, more so farther from the centre, which gives the place away (section 3.1).
    Patches of one channel stay as they are.
    """
    n, channels = patches.shape[:2]
    if channels == 1:
        return patches
    kept = torch.randint(channels, (n,), generator=generator, device=generator.device)
    noise = torch.randn(patches.shape, generator=generator, device=generator.device)
    noise = send(noise, patches.device, patches.dtype)
    keep = send(torch.nn.functional.one_hot(kept, channels).bool(), patches.device).view(n, channels, 1, 1)
    spread = (patches * keep).sum(1, keepdim=True).std((1, 2, 3), keepdim=True)
    return torch.where(keep, patches, noise * spread / 100)


class RelativePatch(Pretext):
    """The middle cell of a 3x3 grid and a neighbour: its label is 0 to 7, row by row without the middle.

    Args:
        augment: the recipe, applied before.
        data: facts about the images.
        gap: side of the cell less side of the patch, in pixels; the patch lies at random within the cell.
        at_least: smaller patches are enlarged to so many pixels, for the backbone.
        drop_channels: keep one channel of patches in colour.
    """

    def __init__(self, augment: Augment, data: DataInfo, *, gap: int, at_least: int, drop_channels: bool):
        super().__init__(augment, data)
        self.tile = check_tiles(data, 3, gap)
        self.size, self.drop_channels = max(at_least, self.tile), drop_channels
        self.target = Target("class", 8, pieces=2, size=self.size)

    def __call__(self, batch: Batch, generator: torch.Generator) -> Task:
        """Return the middle patch and a neighbour, [B, C, size, size] each, and the neighbour's label [B]."""
        (images,) = self.views(batch.images, generator)
        cells = torch.stack(cut(images, 3, self.tile, generator), dim=1)  # [B, 9, C, tile, tile]
        targets = torch.randint(8, (len(images),), generator=generator, device=generator.device)
        targets = send(targets, images.device)
        neighbour = cells[torch.arange(len(images), device=images.device), targets + (targets >= 4)]
        pair = torch.cat([cells[:, 4], neighbour])
        pair = pair - pair.mean((2, 3), keepdim=True)
        if self.drop_channels:
            pair = drop_channels(pair, generator)
        views = list(enlarge(pair, self.size).chunk(2))
        return Task(views, targets, batch.labels, batch.indices)

    def shown(self, task: Task) -> dict[str, Tensor]:
        """Return both patches, and the neighbour where it lies."""
        std = task.views[0].new_tensor(self.data.std).view(-1, 1, 1)
        middle, neighbour = ((0.5 + view * std).clamp(0, 1) for view in task.views)  # their mean is 0
        placed = []
        for row, target in enumerate(task.targets.tolist()):
            cells = [None] * 9
            cells[4], cells[target + (target >= 4)] = middle[row : row + 1], neighbour[row : row + 1]
            placed.append(mosaic(cells, 3))
        return {"middle": middle, "neighbour": neighbour, "where it lies": torch.cat(placed)}

    def answers(self, task: Task) -> list[str]:
        """Return where the neighbour lies."""
        return [PLACES[target] for target in task.targets.tolist()]
