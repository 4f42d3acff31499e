"""The table of results for a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from ssl_cli.compare.metrics import CLASSIFIED, METRICS, PLAIN, scale_and_digits
from ssl_cli.probes.scores.protocol import BEFORE, RAW, column


def results_table(rows: Sequence[dict], backbone: str = "backbone") -> Table:
    """Return one line per model and one column per probe, label budget, target and protocol; a column's best is bold.

    Args:
        rows: as `ssl_cli.probes.base.Probe.run` documents them; the order of first appearance is kept.
        backbone: the name shown for the baseline with random weights.
    """
    models = list(dict.fromkeys(row["model"] for row in rows))
    columns = list(dict.fromkeys(column(row) for row in rows))
    cells = {(row["model"], column(row)): row for row in rows}
    heads = headers(rows)
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    title = f"{METRICS.get(metrics[0], metrics[0])} on the test split" if len(metrics) == 1 else "on the test split"
    title += ", %" if not any(metric in PLAIN for metric in metrics) else ""
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("", overflow="fold")  # the only column that may wrap
    for key in columns:
        table.add_column(heads[key], justify="right", no_wrap=True)
    best = {c: max(_rounded(row) for row in rows if column(row) == c) for c in columns}
    for model in models:
        line = [_label(model, backbone)]
        for key in columns:
            row = cells.get((model, key))
            text = score_text(row) if row else ""
            line.append(f"[bold]{text}[/bold]" if row and _rounded(row) == best[key] else text)
        table.add_row(*line)
    return table


def headers(rows: Sequence[dict]) -> dict[tuple, str]:
    """Return the header of each column of `column`; of those that would look alike, with what sets them apart."""
    first = {column(row): row for row in reversed(rows)}
    several = len({row["metric"] for row in rows}) > 1
    heads = {}
    for key in dict.fromkeys(column(row) for row in rows):
        row = first[key]
        heads[key] = header(row["probe"], row["labels"], row.get("target"))
        if several:
            heads[key] += f",\n{METRICS.get(row['metric'], row['metric'])}" + ("" if row["metric"] in PLAIN else " %")
    for key, text in list(heads.items()):
        alike = [first[other] for other in first if heads[other].startswith(text) and other[:3] == key[:3]]
        if len(alike) > 1:
            names = sorted({name for row in alike for name in row.get("settings", {})})
            differ = [n for n in names if len({str(row["settings"].get(n)) for row in alike}) > 1 and n != "notice"]
            shown = [
                f"{n}={first[key]['settings'].get(n)}" for n in differ if len(str(first[key]["settings"].get(n))) < 20
            ]
            heads[key] = f"{text},\n" + ("\n".join(shown[:2]) or f"protocol\n{key[3]}")
    return heads


def further_table(rows: Sequence[dict], backbone: str = "backbone") -> Table | None:
    """Return the metrics beside the headline, one line per row; None where the headline of a classification says all.

    Errors of a regression are in the target's units.
    """
    rows = [row for row in rows if not set(row.get("metrics", ())) <= set(CLASSIFIED)]
    metrics = list(dict.fromkeys(name for row in rows for name in row["metrics"] if name != row["metric"]))
    if not metrics:
        return None
    several = len({column(row) for row in rows}) > 1
    table = Table(box=box.SIMPLE_HEAD)
    if several:
        table.add_column("", overflow="fold")
    table.add_column("", overflow="fold")
    for name in metrics:
        unit = "" if name in PLAIN else ", %"
        text = METRICS.get(name, name.replace("_at_", " at ")).replace(" of ", " of\n")
        table.add_column(text + unit, justify="right", no_wrap=True)
    order, before = list(dict.fromkeys(column(row) for row in rows)), None
    for row in sorted(rows, key=lambda row: order.index(column(row))):
        head = ", ".join(part for part in (row.get("target") or row["probe"], row["labels"]) if part != "none")
        line = [_label(row["model"], backbone)]
        if several:
            line.insert(0, "" if head == before else head)
        for name in metrics:
            scores = row["metrics"].get(name)
            line.append(score_text({**scores, "metric": name, "std": None}) if scores else "")
        table.add_row(*line)
        before = head
    return table


def _print_in_parts(rows: Sequence[dict], console: Console, backbone: str) -> None:
    left, title = list(dict.fromkeys(column(row) for row in rows)), True
    while left:
        for count in range(len(left), 0, -1):
            table = results_table([row for row in rows if column(row) in left[:count]], backbone)
            if Measurement.get(console, console.options.update(width=10_000), table).maximum <= console.width:
                break
        left, table.title, title = left[count:], table.title if title else None, False
        console.print(table)


def print_table(rows: Sequence[dict], console: Console, backbone: str = "backbone", noun: str = "image") -> None:
    """Print the results, or nothing when there are none; columns that the console has no room for come below."""
    _print_in_parts(rows, console, backbone)
    if second := without_copies(rows):
        console.print(f"The same {about_copies(second, noun)}:")
        _print_in_parts(second, console, backbone)
    if (further := further_table(rows, backbone)) is not None:
        console.print(further)


def without_copies(rows: Sequence[dict]) -> list[dict]:
    """Return the rows with their second number, without test inputs that are in train; none where none is."""
    known = [row for row in rows if (row.get("without_copies") or {}).get("mean") is not None]
    return [{**row, **{name: row["without_copies"][name] for name in ("mean", "std", "ci")}} for row in known]


def about_copies(rows: Sequence[dict], noun: str) -> str:
    """Return what the numbers of `without_copies` are; ``noun`` is what an input is called."""
    count = max(row["without_copies"]["left_out"] for row in rows)
    exactly = ", pixel for pixel" * (noun == "image")
    return f"without {count:,} test {noun}{'s' * (count != 1)} that train has, too{exactly}"


def _rounded(row: dict) -> float:
    """Return the number as displayed, so that equal cells are equally bold."""
    scale, digits = scale_and_digits(row["metric"])
    return round(scale * row["mean"], digits)


def score_text(row: dict) -> str:
    """Return for example ``70.1 ± 4.2``: shares in percent, other metrics as they are."""
    scale, digits = scale_and_digits(row["metric"])
    return f"{_rounded(row):.{digits}f}" + (f" ± {scale * row['std']:.{digits}f}" if row["std"] is not None else "")


def _label(model: str, backbone: str) -> str:
    names = {**RAW, "random": f"{backbone}, random weights", BEFORE: f"{backbone}, before training"}
    return names.get(model, model)


def header(probe: str, labels: str, target: str | None = None) -> str:
    """Return for example ``linear, 10 labels per class``, in short lines."""
    name = {"knn": "kNN", "classifier": "own classifier"}.get(probe, probe)
    if target:
        name += f",\nagainst\n{target}" if probe == "ood" else f" of\n{target}"
    if labels == "none":
        return name
    if labels == "all":
        return name if probe == "knn" or target else f"{name},\nall labels"
    count, percent, of_groups = labels.partition("%")
    if percent:
        return f"{name},\n{count}% of\n{'groups' if of_groups else 'labels'}"
    count, of_groups, _ = labels.removesuffix("/class").partition("group")
    return (
        f"{name},\n{count.strip()} {'group' if of_groups else 'label'}{'' if count.strip() == '1' else 's'}\nper class"
    )
