"""The measured rows as a page."""

from collections.abc import Collection
from typing import Any

HEAD = """\
# {title}

Made by `python -m benchmarks {rows} --out {out}`{data}; each row can be
measured again by itself (`python -m benchmarks NAME --out {out}`).

{machine}

All variants of a row run in processes of their own and take turns, so that a machine that slows down slows all of
them. A ratio is the median of the rounds' ratios, with the smallest and the largest behind it: where these lie far
apart, other work was disturbing the measurement, and so does a load (of the last minute, when the row was begun) above
the number of cores. Above 1 means that `ssl` is quicker or smaller, unless the label says "at most".

| row | what | ratio | range | target | |
|---|---|---|---|---|---|
"""


def render(rows: dict[str, dict[str, Any]], titles: dict[str, str], out: str, without: Collection[str] = ()) -> str:
    """Return the page of all rows that have been measured, in the order of ``titles``.

    Args:
        rows: what each has measured.
        titles: of all rows there are.
        out: the page's file.
        without: rows that ``all`` does not measure.
    """
    measured = {name: rows[name] for name in titles if name in rows}
    machines = {describe(row["machine"]) for row in measured.values()}
    machine = f"Measured on {' and on '.join(sorted(machines))}."
    data = {row["data"] for row in measured.values()}
    bf16 = all(row["machine"]["bf16"] for row in measured.values())
    text = HEAD.format(
        title="Benchmarks where the processor computes in bf16" if measured and bf16 else "Benchmarks",
        rows="all" if {*titles} - {*measured} <= {*without} else " ".join(measured),
        out=out,
        machine=machine,
        data=" --data DIR, DIR holding " + data.pop() if len(data) == 1 else "",
    )
    for name, row in measured.items():
        for entry in row["ratios"]:
            text += f"| `{name}` | {entry['label']} | {_value(entry)} | {_range(entry)} | {_target(entry)} |\n"
    for name, row in measured.items():
        text += f"\n## {titles[name]}\n\n"
        if row["table"]:
            header, *lines = row["table"]
            text += f"| {' | '.join(header)} |\n|{'---|' * len(header)}\n"
            text += "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines) + "\n"
        text += "".join(f"- {note}\n" for note in row["notes"])
        load, cores = row["machine"]["load"], row["machine"]["cores"]
        text += f"- `{name}`: load {load} on {cores} cores; {row['took']:.0f} s in all\n"
    return text


def describe(machine: dict[str, Any]) -> str:
    """Return the machine in a line."""
    gpu = machine["gpu"] or "no GPU"
    bf16 = "bf16" if machine["bf16"] else "no bf16"
    threads = f"{machine['threads']} thread{'s' * (machine['threads'] > 1)}"
    return (
        f"{machine['cpu']}, {machine['cores']} cores ({machine['instructions']}, {bf16}), {gpu}, {threads}; "
        f"Python {machine['python']}, torch {machine['torch']}"
    )


def _value(entry: dict[str, Any]) -> str:
    return f"{entry['share']:.1%}" if "share" in entry else f"{entry['ratio']:.2f}"


def _range(entry: dict[str, Any]) -> str:
    return "" if "share" in entry else f"{entry['low']:.2f} to {entry['high']:.2f}"


def _target(entry: dict[str, Any]) -> str:
    target = entry["target"]
    if target is None:
        return " | "
    if "share" in entry:
        return f"under {target:.0%} | {'met' if entry['share'] < target else 'not met'}"
    met = entry["ratio"] <= target if entry.get("at_most") else entry["ratio"] >= target
    return f"{target:.3g} | {'met' if met else 'not met'}"
