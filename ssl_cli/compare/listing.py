"""The table of `ssl runs`."""

from typing import Any

QUIET = 120  # seconds without a sign of life after which a running run is said to be silent
LABELLED = ("labels", "seed", "test", "val kNN")  # what says nothing without its name


def print_runs(records: list[dict[str, Any]]) -> None:
    """Print records as a table, each run's path below it where they do not fit beside each other.

    Names from data are never read as markup.
    """
    from rich import box
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=box.SIMPLE_HEAD)
    names = ("date", "method", "data", "labels", "seed", "state", "test", "val kNN", "run")
    for name in names:
        table.add_column(name, no_wrap=True)
    lines = []
    for record in records:
        state, test, knn = record["state"], record["test"], record["val_knn"]
        if record["silent_seconds"] is not None and record["silent_seconds"] > QUIET:
            state += f", silent for {record['silent_seconds'] // 60} min"
        cells = [record["date"], record["method"], record["dataset"], record["labels"], record["seed"], state]
        cells += [test and f"{_score_text(test)} {test['probe']}", knn and f"{100 * knn:.1f}", record["run"]]
        cells = ["" if cell is None else str(cell) for cell in cells]
        table.add_row(*map(Text, cells))
        told = [f"{name} {cell}" if name in LABELLED else cell for name, cell in zip(names, cells, strict=True) if cell]
        lines.append("  ".join(told[:-1]) + f"\n  {told[-1]}")
    if Measurement.get(console, console.options.update(width=9999), table).maximum <= console.width:
        console.print(table)
    else:
        console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _score_text(row: dict[str, Any]) -> str:
    """Return accuracies in percent; what is no share (an error in pixels) as it is."""
    return f"{100 * row['mean']:.1f}" if 0 <= row["mean"] <= 1 else f"{row['mean']:.3g}"
