"""The confusion matrix, from the predictions that a measurement left behind."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ssl_cli.report.figures import style
from ssl_cli.report.figures.style import Drawing
from ssl_cli.system.names import plain

NUMBERED = 12  # classes up to which each cell shows its number
NAMED = 40  # classes up to which the axes have names


def matrix(predicted: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    """Return the share [C, C] of the inputs of each true class (row) that is predicted as each class (column).

    Args:
        predicted: [draws, n] int; all draws count alike.
        truth: [n] int.
        classes: C.

    Returns:
        Rows that sum to 1; of a class without inputs, 0.
    """
    counts = np.zeros((classes, classes))
    np.add.at(counts, (np.broadcast_to(truth, predicted.shape).ravel(), predicted.ravel()), 1)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def mixed_up(share: np.ndarray, names: Sequence[str], most: int = 5) -> list[str]:
    """Return the pairs that are confused most, the worst first: ``cat predicted as dog: 23 %``."""
    off = share.copy()
    np.fill_diagonal(off, 0)
    order = np.argsort(-off, axis=None, kind="stable")[:most]
    pairs = [np.unravel_index(at, off.shape) for at in order]
    return [
        f"{plain(names[t])} predicted as {plain(names[p])}: {100 * off[t, p]:.0f} %" for t, p in pairs if off[t, p] > 0
    ]


def draw(share: np.ndarray, names: Sequence[str], directory: Path, caption: str) -> Drawing:
    """Return the confusion matrix as a picture; of few classes with numbers."""
    from matplotlib.colors import LinearSegmentedColormap

    classes = len(names)
    figure, axes = style.new(3.9 if classes <= NUMBERED else 4.1)
    blues = LinearSegmentedColormap.from_list("blues", ["#3f90da00", "#3f90da"])  # the ground of the page is zero
    axes.imshow(share, cmap=blues, vmin=0, vmax=1, interpolation="none")
    axes.grid(False)
    if classes <= NAMED:
        size = 8 if classes <= 15 else 6
        short = [plain(name, 14) for name in names]
        axes.set_xticks(range(classes), short, rotation=90 if max(map(len, short)) > 2 else 0, fontsize=size)
        axes.set_yticks(range(classes), short, fontsize=size)
    else:
        axes.set(xticks=[], yticks=[])
    if classes <= NUMBERED:
        for row, column in zip(*np.nonzero(share >= 0.005), strict=True):
            axes.text(column, row, f"{100 * share[row, column]:.0f}", ha="center", va="center", fontsize=8)
    axes.set(xlabel="predicted class", ylabel="true class")
    return style.save(figure, directory, "confusion", "Confusion matrix", caption)
