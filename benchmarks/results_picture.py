"""Accuracy against minutes: the picture of `benchmarks.results`, of rows that stand at several budgets."""

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results_rows import FEW, ROWS, cost, finished
from ssl_cli.probes.scores.protocol import BASELINES

PANELS = {  # title -> labels of the linear probe and of the rows that train with few
    "all labels": "all",
    f"{FEW.replace('/', ' labels a ')}": FEW,
}
LABELLED = ("supervised", "supcon")  # that train with all labels
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito 2008
FLAT = {"frozen": "frozen ImageNet weights, not trained here"}
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100)  # minutes


@dataclass
class Point:
    """What a row reached at a budget. ``minutes`` of processor time that its training took; ``accuracy`` in percent."""

    minutes: float
    accuracy: float


def budgets(place: Path) -> list[tuple[float, Path]]:
    """Return the minutes and directories of all budgets of a data set, ascending."""
    dataset = place.name.rpartition("-")[0]
    return sorted((float(p.name.rpartition("-")[2][:-3]), p) for p in place.parent.glob(f"{dataset}-*min"))


def curves(place: Path, labels: str) -> tuple[dict[str, list[Point]], dict[str, float]]:
    """Return the rows that stand at two budgets or more, lightly's SimCLR at any, and what no training here changes.

    Args:
        place: the directory of one budget; the others lie beside it.
        labels: of the linear probe. Rows that train with these labels count with their own classifier.

    Returns:
        (row -> points by minutes, name -> accuracy of raw pixels and of the frozen network).
    """
    found: dict[str, list[Point]] = {}
    flat: dict[str, float] = {}
    for _, at in budgets(place):
        for name, row in ROWS.items():
            summaries = finished(at, name, row)
            if not summaries or labels not in (("all",) if name in LABELLED else (FEW,) if row.few else ("all", FEW)):
                continue
            own = statistics.fmean(_accuracy(s, "classifier" if row.few else "linear", labels) for s in summaries)
            taken = cost(at, name, summaries)
            if taken is None:
                flat[name] = own
                continue
            found.setdefault(name, []).append(Point(taken["processor_seconds"] / 60, own))
            if not row.few:
                flat["raw pixels"] = _accuracy(summaries[0], "linear", labels, raw=True)
    return {name: points for name, points in found.items() if len(points) > 1 or ROWS[name].example == "simclr"}, flat


def draw(place: Path, file: Path) -> bool:
    """Draw both panels as an SVG; return False, and draw nothing, where no row stands at two budgets."""
    found = {title: curves(place, labels) for title, labels in PANELS.items()}
    if not any(len(points) > 1 for lines, _ in found.values() for points in lines.values()):
        return False
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "ssl"
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(name for lines, _ in found.values() for name in lines))
    figure, panels = plt.subplots(1, len(found), figsize=(9, 4), layout="constrained", sharey=True)
    shown = {}
    for axes, (title, (lines, flat)) in zip(panels, found.items(), strict=True):
        for name, points in lines.items():
            colour, minutes = PALETTE[names.index(name) % len(PALETTE)], [p.minutes for p in points]
            shown[name] = axes.plot(minutes, [p.accuracy for p in points], "o-", color=colour)[0]
        for (name, accuracy), dashes in zip(sorted(flat.items()), (":", "--"), strict=False):
            shown[FLAT.get(name, name)] = axes.axhline(accuracy, color="#777777", linestyle=dashes)
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        axes.set_xticks(ticks := [tick for tick in TICKS if low <= tick <= high], [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("minutes of one core")
        axes.set_title(title)
        axes.grid(alpha=0.3)
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    panels[0].set_ylabel("test accuracy, %")
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
    return True


def _accuracy(summary: dict[str, Any], probe: str, labels: str, raw: bool = False) -> float:
    """Return what a run, or the raw pixels, reached, in percent."""
    rows = (row for row in summary["results"] if (row["probe"], row["labels"]) == (probe, labels))
    wanted = (row["mean"] for row in rows if (row["model"] == "pixels" if raw else row["model"] not in BASELINES))
    return 100 * next(wanted)
