"""Features on a plane, as points in the colour of their class and as the images themselves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssl_cli.report import style
from ssl_cli.report.names import plain
from ssl_cli.report.style import COLOURS, FAINT, Drawing, look
from ssl_cli.report.tiles import pixels

LEGEND = 20  # classes up to which there is a legend
THUMBNAILS = 120  # images in a map, at most


def scatter(
    at: np.ndarray, labels: np.ndarray, classes: Sequence[str], directory: Path, name: str, title: str, caption: str
) -> Drawing:
    """Return points [n, 2], each class (labels [n], -1: none) in a colour and a shape of its own."""
    present = sorted(set(labels.tolist()))
    legend = 1 < len(present) <= LEGEND
    figure, axes = style.new(4.4 if legend else 3.7)
    for label in present:
        of = at[labels == label]
        kind = look(label) if label >= 0 else {"color": FAINT, "marker": "o"}
        text = plain(classes[label], 14) if label >= 0 else "no label"
        axes.scatter(of[:, 0], of[:, 1], s=18, linewidths=0.3, edgecolors=style.INK, alpha=0.85, label=text, **kind)
    _bare(axes, at)
    if legend:
        figure.legend(
            loc="outside lower center", ncols=4 if len(present) > 6 else 3, handletextpad=0.1, columnspacing=0.8
        )
    return style.save(figure, directory, name, title, caption, points=(axes, at))


def images(
    at: np.ndarray, shown: Sequence[Any], labels: np.ndarray, directory: Path, name: str, title: str, caption: str
) -> Drawing:
    """Return the images [C, h, w] at their points [n, 2]: as many as have room, framed in the colour of their class."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    low, high = at.min(0), at.max(0)
    unit = (at - low) / np.maximum(high - low, 1e-12)
    side = 0.052
    figure = Figure(figsize=(style.WIDTH, style.WIDTH))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    placed: list[int] = []
    for i in range(len(unit)):
        if len(placed) < THUMBNAILS and all(np.abs(unit[i] - unit[j]).max() > side * 1.08 for j in placed):
            placed.append(i)
            x, y = unit[i]
            box = (x - side / 2, x + side / 2, y - side / 2, y + side / 2)
            axes.imshow(pixels(shown[i]), extent=box, interpolation="none", aspect="auto")
            colour = COLOURS[labels[i] % len(COLOURS)] if labels[i] >= 0 else FAINT
            axes.add_patch(Rectangle((box[0], box[2]), side, side, fill=False, edgecolor=colour, linewidth=1.6))
    axes.set(xlim=(-side, 1 + side), ylim=(-side, 1 + side))
    return style.save(figure, directory, name, title, caption)


def _bare(axes: Any, at: np.ndarray) -> None:
    """Take off what means nothing in such a plane: ticks, grid and spines."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    low, high = at.min(0), at.max(0)
    room = 0.04 * np.maximum(high - low, 1e-9)
    axes.set(xlim=(low[0] - room[0], high[0] + room[0]), ylim=(low[1] - room[1], high[1] + room[1]))
