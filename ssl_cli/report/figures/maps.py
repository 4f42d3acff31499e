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
THUMBNAIL, GAP = 32, 1  # sides of an image in it and of the room around it, in pixels, so that the page stays small
PITCH = THUMBNAIL + 2 * GAP


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

    They lie on a grid: an image whose place is taken lies close by. All are drawn as one picture: matplotlib takes
    several seconds for hundreds of them.
    """
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure

    found = places(at)
    canvas = np.zeros((CELLS * PITCH, CELLS * PITCH, 4), np.uint8)  # transparent between them
    for i, (x, y) in found.items():
        top, left = (CELLS - 1 - y) * PITCH + GAP, x * PITCH + GAP
        canvas[top : top + THUMBNAIL, left : left + THUMBNAIL] = _small(shown[i])
    figure = Figure(figsize=(style.WIDTH, style.WIDTH))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.imshow(canvas, extent=(0, CELLS, 0, CELLS), interpolation="none", aspect="auto")
    frames = [0.05 + np.array([(x, y), (x + 0.9, y), (x + 0.9, y + 0.9), (x, y + 0.9)]) for x, y in found.values()]
    colours = [COLOURS[labels[i] % len(COLOURS)] if labels[i] >= 0 else FAINT for i in found]
    axes.add_collection(PolyCollection(frames, facecolors="none", edgecolors=colours, linewidths=1.5))
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
    """Return an image as [32, 32, 4] uint8, opaque: enlarged without smoothing, made smaller with."""
    from PIL import Image

    picture = Image.fromarray(pixels(image)).convert("RGBA")
    method = Image.Resampling.NEAREST if len(np.asarray(picture)) < THUMBNAIL else Image.Resampling.LANCZOS
    return np.asarray(picture.resize((THUMBNAIL, THUMBNAIL), method))


def _bare(axes: Any, at: np.ndarray) -> None:
    """Take off what means nothing in such a plane: ticks, grid and spines."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    low, high = at.min(0), at.max(0)
    room = 0.04 * np.maximum(high - low, 1e-9)
    axes.set(xlim=(low[0] - room[0], high[0] + room[0]), ylim=(low[1] - room[1], high[1] + room[1]))
