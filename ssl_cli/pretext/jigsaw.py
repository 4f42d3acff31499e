"""In which order are the tiles? Noroozi and Favaro 2016, arXiv:1603.09246."""

import itertools
import math

import torch
from torch import Tensor

from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch, Target, Task
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError
from ssl_cli.pretext.base import Pretext
from ssl_cli.pretext.patches import check_tiles, cut, enlarge, mosaic, standardise
from ssl_cli.system.transfer import send

CANDIDATES = 10_000  # most permutations to choose from


def permutation_set(tiles: int, count: int, seed: int = 0) -> Tensor:
    """Return permutations [count, tiles] that are far from each other: the same for every run.

    As in the paper: begin with a random one, then repeatedly take the one with the largest mean Hamming distance to
    those taken. With more than 7 tiles, choose among ``CANDIDATES`` random permutations (the most that ``count`` can
    be), not among all.
    """
    generator = torch.Generator().manual_seed(seed)
    if tiles <= 7:
        pool = torch.tensor(list(itertools.permutations(range(tiles))))
        pool = pool[torch.randperm(len(pool), generator=generator)]
    else:
        pool = torch.rand(CANDIDATES, tiles, generator=generator).argsort(1).unique(dim=0)
        pool = pool[torch.randperm(len(pool), generator=generator)]
    chosen, distance = [0], torch.zeros(len(pool))
    while len(chosen) < count:
        distance += (pool != pool[chosen[-1]]).float().sum(1)
        distance[chosen[-1]] = -math.inf
        chosen.append(int(distance.argmax()))
    return pool[chosen]


class Jigsaw(Pretext):
    """The tiles of an image, shuffled by one of a fixed set of permutations: the label is its index.

    View i shows tile ``permutation[i]``, the tiles counted row by row. Each is cut at random from its cell, which
    leaves a gap between neighbours, and standardised by its own mean and deviation: neither edges nor brightness give
    the order away.

    Args:
        augment: the recipe, applied before.
        data: facts about the images.
        grid: tiles a side.
        gap: side of the cell less side of the tile, in pixels.
        permutations: their number.
        at_least: smaller tiles are enlarged to so many pixels, for the backbone.
    """

    def __init__(self, augment: Augment, data: DataInfo, *, grid: int, gap: int, permutations: int, at_least: int):
        super().__init__(augment, data)
        self.grid, self.tile = grid, check_tiles(data, grid, gap)
        self.size = max(at_least, self.tile)
        most = min(math.factorial(grid * grid), CANDIDATES // 2)
        if permutations > most:
            raise UserError(
                f"pretext.permutations={permutations} is too many for {grid * grid} tiles; write {most} or less"
            )
        self.permutations = permutation_set(grid * grid, permutations)
        self.target = Target("class", permutations, pieces=grid * grid, size=self.size)

    def __call__(self, batch: Batch, generator: torch.Generator) -> Task:
        """Return grid^2 views [B, C, size, size] and the index of the permutation [B]."""
        (images,) = self.views(batch.images, generator)
        tiles = torch.stack([standardise(tile) for tile in cut(images, self.grid, self.tile, generator)], dim=1)
        targets = torch.randint(len(self.permutations), (len(images),), generator=generator, device=generator.device)
        order = self.permutations.to(targets.device)[targets]  # [B, tiles]
        shuffled = tiles[torch.arange(len(images), device=images.device)[:, None], send(order, images.device)]
        views = [enlarge(view, self.size) for view in shuffled.unbind(1)]
        return Task(views, send(targets, images.device), batch.labels, batch.indices)

    def shown(self, task: Task) -> dict[str, Tensor]:
        """Return the tiles as the network sees them, and in order."""
        shuffled = torch.stack([(0.5 + view / 4).clamp(0, 1) for view in task.views], dim=1)  # [B, tiles, C, h, h]
        order = self.permutations.to(task.targets.device)[task.targets].argsort(1)
        sorted_ = shuffled[torch.arange(len(order), device=order.device)[:, None], order]
        return {
            name: mosaic(tiles.unbind(1), self.grid) for name, tiles in (("shuffled", shuffled), ("in order", sorted_))
        }

    def answers(self, task: Task) -> list[str]:
        """Return the tile at each place, counted row by row from 1."""
        order = self.permutations.to(task.targets.device)[task.targets] + 1
        return ["tiles " + " ".join(map(str, row)) for row in order.tolist()]
