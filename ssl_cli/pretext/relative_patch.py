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
    """Replace two of three channels of each patch [B, 3, h, w] by noise with a hundredth of the kept one's deviation.

    Against the lens: colours are focused a little apart, the more so the farther from the centre (section 3.1). Patches
    of one channel stay as they are.
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
    """The middle cell of a 3x3 cut and one of its eight neighbours: the label is which, row by row without the middle.

    Args:
        augment: the recipe, applied before.
        data: facts about the images.
        gap: pixels that a patch is smaller than its cell; it lies at random within.
        at_least: pixels that smaller patches are enlarged to, for the backbone.
        drop_channels: of patches in colour keep one channel.
    """

    def __init__(self, augment: Augment, data: DataInfo, *, gap: int, at_least: int, drop_channels: bool):
        super().__init__(augment, data)
        self.tile = check_tiles(data, 3, gap)
        self.size, self.drop_channels = max(at_least, self.tile), drop_channels
        self.target = Target("class", 8, pieces=2, size=self.size)

    def __call__(self, batch: Batch, generator: torch.Generator) -> Task:
        """Return the middle patch and its neighbour, [B, C, size, size] each, and which of the eight it is [B]."""
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
        middle, neighbour = ((0.5 + view * std).clamp(0, 1) for view in task.views)  # their mean was taken off
        placed = []
        for row, target in enumerate(task.targets.tolist()):
            cells = [None] * 9
            cells[4], cells[target + (target >= 4)] = middle[row : row + 1], neighbour[row : row + 1]
            placed.append(mosaic(cells, 3))
        return {"middle": middle, "neighbour": neighbour, "where it lies": torch.cat(placed)}

    def answers(self, task: Task) -> list[str]:
        """Return where the neighbour lies."""
        return [PLACES[target] for target in task.targets.tolist()]
