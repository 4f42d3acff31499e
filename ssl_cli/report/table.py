"""The table of results for a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table


def results_table(rows: Sequence[dict], backbone: str = "backbone") -> Table:
    """Return one line per model and one column per probe and label budget; the best of a column is bold.

    Args:
        rows: as `ssl_cli.probes.evaluate.evaluate` returns them; the order of first appearance is kept.
        backbone: the name shown for the baseline with random weights.
    """
    models = list(dict.fromkeys(row["model"] for row in rows))
    columns = list(dict.fromkeys((row["probe"], row["labels"]) for row in rows))
    cells = {(row["model"], row["probe"], row["labels"]): row for row in rows}
    table = Table(box=box.SIMPLE_HEAD, title="accuracy on the test split, %", title_justify="left")
    table.add_column("", overflow="fold")  # the only column that may wrap
    for key in columns:
        table.add_column(header(*key), justify="right", no_wrap=True)
    best = {c: max(_shown(row) for row in rows if (row["probe"], row["labels"]) == c) for c in columns}
    for model in models:
        line = [_label(model, backbone)]
        for key in columns:
            row = cells.get((model, *key))
            text = cell(row) if row else ""
            line.append(f"[bold]{text}[/bold]" if row and _shown(row) == best[key] else text)
        table.add_row(*line)
    return table


def print_table(rows: Sequence[dict], console: Console, backbone: str = "backbone") -> None:
    """Print the results, or nothing when there are none."""
    if rows:
        console.print(results_table(rows, backbone))


def _shown(row: dict) -> float:
    """Return the percentage as displayed, so that equal cells are equally bold."""
    return round(100 * row["mean"], 1)


def cell(row: dict) -> str:
    """Return for example ``70.1 ± 4.2``, in percent."""
    return f"{_shown(row):.1f}" + (f" ± {100 * row['std']:.1f}" if row["std"] is not None else "")


def _label(model: str, backbone: str) -> str:
    return {"pixels": "raw pixels", "random": f"{backbone}, random weights"}.get(model, model)


def header(probe: str, labels: str) -> str:
    """Return for example ``linear, 10 labels per class``, in short lines."""
    name = {"knn": "kNN", "classifier": "own classifier"}.get(probe, probe)
    if labels == "all":
        return name if probe == "knn" else f"{name},\nall labels"
    if labels.endswith("%"):
        return f"{name},\n{labels} of\nlabels"
    count = labels.removesuffix("/class")
    return f"{name},\n{count} label{'' if count == '1' else 's'}\nper class"
