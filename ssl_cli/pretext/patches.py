"""Square pieces of images: cut with a gap and jitter between them, so no edge continues from one into the next."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError
from ssl_cli.system.transfer import send


def cut(images: Tensor, grid: int, tile: int, generator: torch.Generator) -> list[Tensor]:
    """Return a random ``tile`` x ``tile`` piece from each cell of a ``grid`` x ``grid`` cut, row by row.

    Args:
        images: [B, C, H, H].
        grid: cells a side.
        tile: pixels; at most a cell's side. The rest of the cell is gap and room for jitter.
        generator: draws the place within the cell for each image and cell.

    Returns:
        grid^2 tensors [B, C, tile, tile].
    """
    n, cell = len(images), images.shape[-1] // grid
    room = cell - tile + 1
    offsets = torch.randint(room, (2, grid * grid, n), generator=generator, device=generator.device)
    offsets = send(offsets, images.device)
    span = torch.arange(tile, device=images.device)
    row = torch.arange(n, device=images.device)[:, None, None]
    tiles = []
    for place in range(grid * grid):
        top, left = divmod(place, grid)
        y = (top * cell + offsets[0, place])[:, None] + span  # [B, tile]
        x = (left * cell + offsets[1, place])[:, None] + span
        tiles.append(images.permute(0, 2, 3, 1)[row, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2))
    return tiles


def standardise(tiles: Tensor) -> Tensor:
    """Standardise each tile [B, C, h, w] to mean 0 and deviation 1, so that brightness does not give its place away."""
    mean, std = tiles.mean((1, 2, 3), keepdim=True), tiles.std((1, 2, 3), keepdim=True)
    return (tiles - mean) / (std + 1e-2)


def enlarge(tiles: Tensor, size: int) -> Tensor:
    """Return tiles [B, C, size, size], for backbones that need images larger than a tile."""
    return tiles if tiles.shape[-1] == size else F.interpolate(tiles, (size, size), mode="bilinear", antialias=True)


def check_tiles(data: DataInfo, grid: int, gap: int) -> int:
    """Return the side of the tiles in pixels.

    Raises:
        UserError: this grid and gap leave less than 3 pixels to a tile.
    """
    tile = data.image_size // grid - gap
    if tile < 3:
        raise UserError(
            f"tiles do not fit: in a {grid}x{grid} grid images of {data.image_size} pixels have cells of "
            f"{data.image_size // grid}, and a gap of {gap} leaves less than 3; write a smaller pretext.gap, a larger "
            f"{data.size_key}, or of jigsaw a smaller pretext.grid"
        )
    return tile


def mosaic(tiles: Sequence[Tensor | None], grid: int, gap: int = 1) -> Tensor:
    """Return a picture of tiles laid out row by row, white between them and in place of None.

    Args:
        tiles: grid^2 of [B, C, h, h] in [0, 1]; at least one is not None.
        grid: tiles a side.
        gap: pixels between tiles.

    Returns:
        [B, C, H, H] with H = grid h + (grid - 1) gap.
    """
    some = next(tile for tile in tiles if tile is not None)
    n, channels, side = some.shape[:3]
    canvas = some.new_ones(n, channels, *[grid * (side + gap) - gap] * 2)
    for place, tile in enumerate(tiles):
        if tile is not None:
            top, left = (index * (side + gap) for index in divmod(place, grid))
            canvas[:, :, top : top + side, left : left + side] = tile
    return canvas
