"""The page of `benchmarks.results`: the tables that `ssl compare` makes, the commands, and what each row cost."""

import json
import shlex
from argparse import Namespace
from pathlib import Path
from typing import Any

from benchmarks.page import describe
from benchmarks.results_picture import Point, budgets, curves, draw
from benchmarks.results_rows import COMMON, FEW, ROWS, cost, finished

NAMES = {"cifar10": "CIFAR-10 (JPEG)", "fashion_mnist": "Fashion-MNIST"}
ELSEWHERE = {  # page -> what it says of another page of the same data
    "results.md": "Other methods, and lightly's example in the best of eight settings, on a processor without bf16: "
    "[results in fp32](results-fp32.md).",
    "results-fp32.md": "Other methods, and more images in the same minutes, where a processor computes in bf16: "
    "[results](results.md).",
}
HEAD = """\
# Results: {dataset}, {minutes} of one core{arithmetic}

Made by `python -m benchmarks results --data DIR{options} --out docs/{out}`.
{images}

Every method trains for about {minutes} of processor time on one thread, with the network, the views, the batch and the
optimizer of `experiment=cpu_small`. The steps are counted before, and the machine's pace changes: the rows took {taken}
minutes, each what the last table says, and one that took more had an advantage. Nothing was chosen for this page on
any split, and `test` was scored once per run, at its end. That is {passes} passes over the images, where papers have
hundreds: the order of the methods at such a budget is not their order at a long one.
{seeds}

{machine}{elsewhere}
"""
FROZEN = " `frozen_imagenet` was trained by others, on\nother images, and is not trained here."
PEERS = """

Rows of `lightly` are networks that its examples have trained, measured here by `method=frozen`: images seen and seconds
are in the last table."""
FREE = """
## Without labels, and what all labels are worth

`supervised` and `supcon` learn from all labels, the other rows from none.{others}

```
ssl compare {place}/all --against 'raw pixels' --sort --to md
```

"""
SOME = """
## With {few}

The column of the own classifier is what each method is for. All rows have the same {few}: the draw of
`dataset.label_seed=0`. Compare them with the same column of linear in the table above, the mean over ten draws.

```
ssl compare {place}/few --against none --sort --to md
```

"""
MORE = """
## What more minutes bring

![Test accuracy against minutes of training]({file})

The linear probe, with all labels and with {few}. Rows that train with few labels count with their own classifier.
The frozen network was trained by others for longer than any of this, and not here. For each point: the command above
with its `--minutes`, of which this page knows {budgets}.

{beside}
"""
COSTS = """
## Commands, and what they cost

The steps of a row are the minutes divided by the processor time of a step, which was timed before, on the same thread
and at all sizes of its views. The minutes in the table are what the training then took; evaluation and the closing
measurement are not in them. `seconds` in the tables above is wall time, with other work on the machine.

```
common="{common}"
{commands}
```

| row | steps | images seen | milliseconds a step | processor minutes | not as the others, because |
|---|---:|---:|---:|---:|---|
"""


def render(place: Path, options: Namespace) -> str:
    """Return the page of all rows that stand below ``place``.

    Args:
        place: the directory of the runs.
        options: of the command: ``dataset``, ``minutes``, ``seeds``.

    Raises:
        UserError: nothing stands.
    """
    from ssl_cli.compare.comparison import compare
    from ssl_cli.compare.formats.markdown import to_markdown
    from ssl_cli.compare.options import Options

    stand = {name: found for name, row in ROWS.items() if (found := finished(place, name, row))}
    tables = ""
    for part, text, against in (("all", FREE, "raw pixels"), ("few", SOME, "none")):
        if any(row.few == (part == "few") for name, row in ROWS.items() if name in stand):
            others = (FROZEN if "frozen" in stand else "") + (PEERS if any(ROWS[n].example for n in stand) else "")
            tables += text.format(place=place, few=FEW.replace("/", " labels a "), others=others)
            tables += to_markdown(compare([place / part], Options(sort=True, against=against)))
    missing = [f"`{name}`{why_not(place, name)}" for name in options.methods if name not in stand]
    costs = COSTS.format(common=" ".join([*COMMON, *images(options)]), commands=commands(place, stand))
    costs += "".join(cost_line(place, name, summaries) for name, summaries in stand.items())
    return (
        head(place, stand, options)
        + tables
        + more(place, options)
        + costs
        + (f"\nNot there: {', '.join(missing)}.\n" if missing else "")
    )


def why_not(place: Path, name: str) -> str:
    """Return in brackets why a peer's training failed; nothing of rows that were not trained."""
    reasons = [json.loads(file.read_text()).get("failed") for file in (place / "peers").glob(f"{name}-[0-9]*.json")]
    return next((f" ({reason})" for reason in reasons if reason), "")


def more(place: Path, options: Namespace) -> str:
    """Draw accuracy against minutes beside the page, and return what is said of it; nothing if this is all there is."""
    file, known = options.out.with_suffix(".svg"), [f"{minutes:g}" for minutes, _ in budgets(place)]
    if len(known) < 2 or not draw(place, file):
        return ""
    few, lines = FEW.replace("/", " labels a "), curves(place, "all")[0]
    return (
        MORE.format(file=file.name, few=few, budgets=" and ".join(known), beside=beside_lightly(lines)).rstrip() + "\n"
    )


def beside_lightly(lines: dict[str, list[Point]]) -> str:
    """Return how `simclr` stands beside lightly's best row, by the linear probe with all labels."""
    theirs = [(max(points, key=lambda p: p.minutes), name) for name, points in lines.items() if ROWS[name].example]
    if not theirs or "simclr" not in lines:
        return ""
    best, name = max(theirs, key=lambda pair: pair[0].accuracy)
    ours = ", ".join(f"{p.accuracy:.1f} % after {p.minutes:.1f}" for p in lines["simclr"])
    return (
        f"With all labels lightly's best row here, `{name}`, has {best.accuracy:.1f} % after "
        f"{best.minutes:.1f} minutes; `simclr` has {ours}. What differs: lightly's examples compute in fp32 and decode "
        "and change each image by itself; `ssl` computes in bf16 where the processor does, keeps images decoded, "
        "changes them in batches, has smaller views at first, and smaller batches."
    )


def head(place: Path, stand: dict[str, list[dict[str, Any]]], options: Namespace) -> str:
    """Return the page until the first table."""
    epochs = [s["epochs"] for name, found in stand.items() if ROWS[name].trains and not ROWS[name].few for s in found]
    timed_on = [json.loads(file.read_text())["machine"] for file in place.glob("paces/*.json")]
    machines, bf16 = {describe(machine) for machine in timed_on}, all(machine["bf16"] for machine in timed_on)
    cifar = options.dataset == "cifar10"
    given = ("" if cifar else f" --dataset {options.dataset}") + f" --minutes {options.minutes:g}"
    lossy = "The images are JPEG files, so accuracies are a little under those on the lossless original."
    seeds = max(map(len, stand.values()), default=0)
    took = [c["processor_seconds"] / 60 for name, found in stand.items() if (c := cost(place, name, found))]
    return HEAD.format(
        taken=f"{min(took):.1f} to {max(took):.1f}" if took else "no",
        out=options.out.name,
        dataset=NAMES[options.dataset],
        minutes=f"{options.minutes:g} minute{'s' * (options.minutes != 1)}",
        options=given + (f" --seeds {seeds}" if seeds > 1 else ""),
        images=lossy if cifar else "The files are the published ones, read by torchvision.",
        passes=f"{min(epochs):.1f} to {max(epochs):.1f}" if epochs else "few",
        seeds=said_of_seeds(stand),
        machine=f"Measured on {'; '.join(sorted(machines))}.",
        arithmetic="" if bf16 else " without bf16",
        elsewhere=f"\n\n{ELSEWHERE[options.out.name]}" if options.out.name in ELSEWHERE else "",
    )


def said_of_seeds(stand: dict[str, list[dict[str, Any]]]) -> str:
    """Return how many seeds the rows have."""
    most, least = (pick(map(len, stand.values()), default=1) for pick in (max, min))
    if most == least:
        return "There is one seed each." if most == 1 else f"There are {most} seeds each."
    several = " and ".join(f"`{name}`" for name, found in stand.items() if len(found) > least)
    return f"There are {most} seeds of {several}, the others have {'one' if least == 1 else least}."


def images(options: Namespace) -> list[str]:
    """Return the settings of the data set, as somebody else types them."""
    from benchmarks.results import images

    return images(options.dataset, "DIR")


def commands(place: Path, stand: dict[str, list[dict[str, Any]]]) -> str:
    """Return a line for each row."""
    lines = []
    for name, found in stand.items():
        row, seeds = ROWS[name], [str(summary["seed"]) for summary in found]
        given = [f"trainer.max_steps={found[0]['steps']}" if row.trains else "backbone.weights=FILE"]
        sets = [seeds]
        if row.example:  # each seed begins with weights of its own
            given, sets = [f"init={place}/peers/{name}-{seed}.pt" for seed in seeds], [[seed] for seed in seeds]
        for own, some in zip(given, sets, strict=True):
            many = "-m " if len(some) > 1 else ""
            typed = [f"seed={','.join(some)}"] if len(seeds) > 1 else []
            lines.append(f"ssl train {many}$common {shlex.join([*row.settings, own, *typed])}")
    return "\n".join(lines)


def cost_line(place: Path, name: str, summaries: list[dict[str, Any]]) -> str:
    """Return a row's line in the table of costs."""
    why, taken = ROWS[name].why, cost(place, name, summaries)
    if taken is None:
        return f"| {name} |  |  |  | 0 | {why} |\n"
    seconds, steps = taken["processor_seconds"], taken["steps"]
    pace = f"{1e3 * seconds / steps:,.0f} | {seconds / 60:.2f}"
    return f"| {name} | {steps:,.0f} | {taken['images_seen']:,.0f} | {pace} | {why} |\n"
