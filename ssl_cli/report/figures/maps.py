"""Features on a plane, as points in the colour of their class and as the images themselves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssl_cli.report.figures import style
from ssl_cli.report.figures.style import COLOURS, FAINT, Drawing, colour_and_marker
from ssl_cli.report.figures.tiles import pixels
from ssl_cli.system.names import plain

LEGEND = 20  # classes up to which there is a legend
CELLS = 22  # places for an image along a side of a map of images
ASIDE = 2.5  # places that an image may lie beside its own
THUMBNAILS = 200  # images in such a map, at most


def scatter(
    at: np.ndarray, labels: np.ndarray, classes: Sequence[str], directory: Path, name: str, title: str, caption: str
) -> Drawing:
    """Return points [n, 2], each class (labels [n], -1: none) in a colour and a shape of its own."""
    present = sorted(set(labels.tolist()))
    legend = 1 < len(present) <= LEGEND
    figure, axes = style.new(4.4 if legend else 3.7)
    for label in present:
        of = at[labels == label]
        kind = colour_and_marker(label) if label >= 0 else {"color": FAINT, "marker": "o"}
        text = plain(classes[label], 14) if label >= 0 else "no label"
        axes.scatter(of[:, 0], of[:, 1], s=18, linewidths=0.3, edgecolors=style.INK, alpha=0.85, label=text, **kind)
    _bare(axes, at)
    if legend:
        figure.legend(
            loc="outside lower center", ncols=4 if len(present) > 6 else 3, handletextpad=0.1, columnspacing=0.8
        )
    return style.save(figure, directory, name, title, caption, points=(axes, at))


def image_map(
    at: np.ndarray, shown: Sequence[Any], labels: np.ndarray, directory: Path, name: str, title: str, caption: str
) -> Drawing:
    """Return the images [C, h, w] at their points [n, 2]: as many as have room, framed in the colour of their class.

    They lie on a grid: an image whose place is taken lies close by.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(style.WIDTH, style.WIDTH))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    for i, (x, y) in places(at).items():
        axes.imshow(
            _small(shown[i]), extent=(x + 0.04, x + 0.96, y + 0.04, y + 0.96), interpolation="none", aspect="auto"
        )
        colour = COLOURS[labels[i] % len(COLOURS)] if labels[i] >= 0 else FAINT
        axes.add_patch(Rectangle((x + 0.05, y + 0.05), 0.9, 0.9, fill=False, edgecolor=colour, linewidth=1.5))
    axes.set(xlim=(0, CELLS), ylim=(0, CELLS))
    return style.save(figure, directory, name, title, caption)


def places(at: np.ndarray) -> dict[int, tuple[int, int]]:
    """Return for as many points [n, 2] as have room a cell of a square grid: its own, or a free one close by."""
    low, high = at.min(0), at.max(0)
    wanted = (at - low) / np.maximum(high - low, 1e-12) * (CELLS - 1)  # corners of cells
    free = np.array([(x, y) for x in range(CELLS) for y in range(CELLS)])
    found: dict[int, tuple[int, int]] = {}
    for i, point in enumerate(wanted):
        distance = np.linalg.norm(free - point, axis=1)
        nearest = int(distance.argmin())
        if distance[nearest] <= ASIDE:
            found[i] = tuple(free[nearest].tolist())
            free = np.delete(free, nearest, axis=0)
        if len(found) == THUMBNAILS:
            break
    return found


def _small(image: Any) -> np.ndarray:
    """Return an image as [h, w, 3] uint8 of at most 32 pixels a side, so that the page stays small."""
    from PIL import Image

    array = pixels(image)
    return array if len(array) <= 32 else np.asarray(Image.fromarray(array).resize((32, 32), Image.Resampling.LANCZOS))


def _bare(axes: Any, at: np.ndarray) -> None:
    """Take off what means nothing in such a plane: ticks, grid and spines."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    low, high = at.min(0), at.max(0)
    room = 0.04 * np.maximum(high - low, 1e-9)
    axes.set(xlim=(low[0] - room[0], high[0] + room[0]), ylim=(low[1] - room[1], high[1] + room[1]))
