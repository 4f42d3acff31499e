"""Figures of a run over time, from its ``metrics.jsonl``; and of accuracy over the number of labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_cli.report.figures import style
from ssl_cli.report.figures.style import COLOURS, DASHES, FAINT, Drawing, colour_and_marker
from ssl_cli.system.names import plain

LINES = 12  # names in a legend of several runs
NOT_LOSSES = ("step", "epoch", "loss", "lr", "images_per_second", "seconds", "val_knn", "collapsed")
SPACES = ("feature", "embedding")
DIAGNOSTICS = {
    "std": "deviation (1: spread over the sphere, 0: a point)",
    "rank": "effective rank (dimensions)",
    "alignment": "alignment (0: two views are equal)",
    "uniformity": "uniformity (0: a point)",
}


def loss(run: Any, directory: Path) -> Drawing | None:
    """Return the training loss over epochs."""
    epochs, values = run.series("loss")
    if not values:
        return None
    figure, axes = style.new()
    axes.plot(epochs, values, color=COLOURS[0], marker=_dot(values), markersize=4)
    axes.set(xlabel="epoch", ylabel="training loss", xlim=(0, None))
    return style.save(figure, directory, "loss", "Loss", "What training minimises: the mean since the previous point.")


def terms(run: Any, directory: Path) -> Drawing | None:
    """Return what else the method logs at each step, such as the parts of its loss, in a small plot each."""
    watched = tuple(f"{space}_{key}" for space in SPACES for key in DIAGNOSTICS) + NOT_LOSSES
    keys = list(
        dict.fromkeys(k for row in run.metrics for k in row if k not in watched and not k.startswith("pseudo_"))
    )
    drawn = {key: run.series(key) for key in keys[:6]}
    drawn = {key: series for key, series in drawn.items() if series[0]}
    if not drawn:
        return None
    figure, axes = style.new(0.5 + 1.35 * len(drawn), nrows=len(drawn), sharex=True, squeeze=False)
    for axis, (key, (epochs, values)) in zip(axes[:, 0], drawn.items(), strict=True):
        axis.plot(epochs, values, color=COLOURS[0], marker=_dot(values), markersize=3)
        axis.set_title(key.replace("_", " "), fontsize=9, loc="left")
    axes[-1, 0].set(xlabel="epoch", xlim=(0, None))
    return style.save(figure, directory, "terms", "What else the method logs", "Named as in metrics.jsonl.")


def validation(run: Any, directory: Path) -> Drawing | None:
    """Return kNN accuracy on val over epochs; the best is marked."""
    epochs, values = run.series("val_knn")
    if not values:
        return None
    figure, axes = style.new()
    percent = [100 * value for value in values]
    axes.plot(epochs, percent, color=COLOURS[0], marker="o", markersize=4)
    best = percent.index(max(percent))
    axes.plot(epochs[best], percent[best], "*", color=COLOURS[1], markersize=13, markeredgewidth=0)
    axes.set(xlabel="epoch", ylabel="kNN accuracy on val, %", xlim=(0, None))
    axes.margins(y=0.15)
    text = f"The star marks the best, {percent[best]:.1f} % at epoch {epochs[best]:g}; best.pt is from there."
    return style.save(figure, directory, "validation", "Accuracy on val", text)


def several(runs: Sequence[Any], names: Sequence[str], directory: Path, kind: str) -> Drawing | None:
    """Return ``validation`` or ``loss`` of several runs over epochs; those of the same name look the same."""
    key, scale, label = {
        "validation": ("val_knn", 100, "kNN accuracy on val, %"),
        "loss": ("loss", 1, "training loss"),
    }[kind]
    drawn = [(name, *run.series(key)) for run, name in zip(runs, names, strict=True)]
    drawn = [(name, epochs, values) for name, epochs, values in drawn if values]
    if not drawn:
        return None
    order = list(dict.fromkeys(name for name, _, _ in drawn))
    figure, axes = style.new(2.7 + 0.17 * min(len(order), LINES))
    named: set[str] = set()
    for name, epochs, values in drawn:
        at = order.index(name)
        appearance = colour_and_marker(at)
        text = plain(name, 48) if name not in named and at < LINES else None
        named.add(name)
        axes.plot(
            epochs, [scale * value for value in values], DASHES[at % len(DASHES)], linewidth=1.2, markersize=4,
            label=text, color=appearance["color"], marker=appearance["marker"] if len(values) < 20 else None,
        )  # fmt: skip
    axes.set(xlabel="epoch", ylabel=label, xlim=(0, None))
    figure.legend(loc="outside lower center", ncols=1)
    text = "One line per run; runs that differ only in the seed look the same."
    text += (
        " Losses of different methods cannot be compared." if kind == "loss" else " The test split is not used here."
    )
    text += f" Only the first {LINES} are named." if len(order) > LINES else ""
    title = {"validation": "Accuracy on val", "loss": "Loss"}[kind]
    return style.save(figure, directory, kind, title, text)


def learning_rate(run: Any, directory: Path) -> Drawing | None:
    """Return the learning rate over epochs."""
    epochs, values = run.series("lr")
    if not values:
        return None
    figure, axes = style.new(2.2)
    axes.plot(epochs, values, color=COLOURS[2], marker=_dot(values), markersize=4)
    axes.set(xlabel="epoch", ylabel="learning rate", xlim=(0, None))
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    return style.save(
        figure, directory, "learning_rate", "Learning rate", "The largest of the optimizer's parameter groups."
    )


def collapse(run: Any, directory: Path) -> Drawing | None:
    """Return deviation, effective rank, alignment and uniformity of features and embedding over epochs."""
    drawn = {key: {s: run.series(f"{s}_{key}") for s in SPACES} for key in DIAGNOSTICS}
    drawn = {key: {s: v for s, v in both.items() if v[0]} for key, both in drawn.items()}
    drawn = {key: both for key, both in drawn.items() if both}
    if not drawn:
        return None
    figure, axes = style.new(0.5 + 1.4 * len(drawn), nrows=len(drawn), sharex=True, squeeze=False)
    for axis, (key, both) in zip(axes[:, 0], drawn.items(), strict=True):
        for space, (epochs, values) in both.items():
            at = SPACES.index(space)
            axis.plot(epochs, values, DASHES[at], **colour_and_marker(at), markersize=4, label=f"{space}s")
        axis.set_title(DIAGNOSTICS[key], fontsize=9, loc="left")
        axis.margins(y=0.15)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    axes[-1, 0].set(xlabel="epoch", xlim=(0, None))
    said = (
        "The embedding has collapsed: different inputs look alike to the method."
        if run.summary.get("collapsed")
        else ""
    )
    if not run.series("embedding_std")[0]:
        said += " This method has no embedding that its loss compares, so only the features are shown."
    text = f"Features are the backbone's output, embeddings are what the loss compares; both on val. {said}".strip()
    return style.save(figure, directory, "collapse", "Is it collapsing?", text)


def pseudo_labels(run: Any, directory: Path) -> Drawing | None:
    """Return how many pseudo-labels pass, and how many of these are right, over epochs."""
    names = {
        "pseudo_passed": "sure enough to learn from",
        "pseudo_right": "right, of those",
        "pseudo_entropy": "entropy",
    }
    drawn = {name: run.series(key) for key, name in names.items()}
    if not drawn["sure enough to learn from"][0]:
        return None
    figure, axes = style.new(3.0)
    for at, (name, (epochs, values)) in enumerate(drawn.items()):
        axes.plot(epochs, [100 * v for v in values], DASHES[at], **colour_and_marker(at), markersize=4, label=name)
    axes.set(xlabel="epoch", ylabel="%", ylim=(-3, 103), xlim=(0, None))
    figure.legend(loc="outside lower center", ncols=2)
    text = (
        "Without a label, in train: the share whose pseudo-label is sure enough, how many of those are right (the "
        "method never sees this), and the entropy of all of them (100: all classes equally often, 0: always the same)."
    )
    return style.save(figure, directory, "pseudo_labels", "Pseudo-labels", text)


def efficiency(
    lines: Mapping[str, Sequence[tuple[int, float, float | None]]], directory: Path, caption: str
) -> Drawing | None:
    """Return accuracy over the number of labels.

    Args:
        lines: name -> points (labels, mean accuracy in [0, 1], deviation or None), by number of labels.
        directory: of the files.
        caption: how the numbers were made.
    """
    if not any(len(points) > 1 for points in lines.values()):
        return None
    figure, axes = style.new(2.6 + 0.19 * len(lines))
    for at, (name, points) in enumerate(lines.items()):
        x = [count for count, _, _ in points]
        y = [100 * mean for _, mean, _ in points]
        spread = [100 * (deviation or 0) for _, _, deviation in points]
        colour = {"color": FAINT} if at < 2 else {"color": colour_and_marker(at - 2)["color"]}  # baselines come first
        axes.errorbar(
            x, y, yerr=spread, fmt=style.MARKERS[at % len(style.MARKERS)], linestyle=DASHES[at % len(DASHES)],
            markersize=5, capsize=2, elinewidth=1, label=plain(name, 44), **colour,
        )  # fmt: skip
    axes.set_xscale("log")
    counts = sorted({count for points in lines.values() for count, _, _ in points})
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.set(xlabel="labels, all classes together", ylabel="accuracy on test, %")
    figure.legend(loc="outside lower center")
    return style.save(figure, directory, "label_efficiency", "Accuracy by number of labels", caption)


def _dot(values: Sequence[float]) -> str | None:
    """Return a marker where a line alone would be too short to be seen."""
    return "o" if len(values) < 20 else None
