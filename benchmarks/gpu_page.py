"""What was measured on a GPU, as a page."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

HEAD = """\
# On a GPU

Made by `python -m benchmarks.gpu --data DIR --out docs/gpu.md`, DIR holding {data}, on {machine}.
"""


def counts(report: Path) -> dict[str, Any]:
    """Return how many tests passed, failed and were skipped, and the names of those that failed, of a JUnit file."""
    cases = list(ET.parse(report).iter("testcase"))
    failed = [case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return {"passed": len(cases) - len(failed) - skipped, "failed": failed, "skipped": skipped}


def render(parts: dict[str, dict[str, Any]]) -> str:
    """Return the page of the parts that have been measured."""
    any_part = next(iter(parts.values()))
    where = any_part["machine"]
    named = f"{where['gpu'] or 'no GPU'}, {where['cores']} CPU cores; Python {where['python']}, torch {where['torch']}"
    text = HEAD.format(data=any_part["data"], machine=named)
    sections = {"agree": agreement, "speed": speeds, "train": training}
    return text + "".join("\n" + sections[name](part) for name, part in parts.items())


def agreement(part: dict[str, Any]) -> str:
    """Return the section on the tests."""
    found = part["counts"]
    text = "## The same as on a CPU\n\n"
    text += (
        "For each method the tests marked `gpu` compare one step on the GPU with the same step on the CPU (float32, "
    )
    text += "without TF32: reported values within 0.2 %, gradients within 0.5 % of their norm), and look that no step "
    text += "waits for the GPU. They compare a resumed run with an unbroken one, bf16 with float32, and compiled "
    text += "networks with those that are not.\n\n"
    text += f"{found['passed']} tests passed, {len(found['failed'])} failed, {found['skipped']} were skipped.\n"
    return text + "".join(f"- failed: `{name}`\n" for name in found["failed"])


def speeds(part: dict[str, Any]) -> str:
    """Return the section on images a second."""
    text = (
        "## Speed of a step\n\nSimCLR, two views an image, bf16, augmentation on the GPU. `resnet18` has views of 32 "
    )
    text += (
        "pixels, `resnet50` of 224. An image counts once, whatever the number of its views. Medians of 3 rounds.\n\n"
    )
    if "peak" in part:
        text += f"The peak is that of a large bf16 matrix product here: {part['peak'] / 1e12:.0f} TFLOP/s.\n\n"
    text += (
        "| network | images a step | compiled | channels_last | images a second | ms a step | share of peak | GiB | "
    )
    text += "data | augment | forward | backward | optimizer | first 8 steps |\n|" + "---|" * 14 + "\n"
    for row in part["rows"]:
        settings = row["settings"]
        flags = ["yes" if "trainer.compile=true" in settings else "no"]
        flags += ["no" if "trainer.channels_last=false" in settings else "yes"]
        start = [f"`{row['backbone']}`", f"{row['batch']:,}", *flags]
        text += f"| {' | '.join([*start, *_measured(row)])} |\n"
    text += "\nPlain PyTorch loops of the same network and loss, with torchvision's v2 transforms:\n\n"
    text += "| network | images a step | transforms | images a second | `ssl` / this |\n|---|---|---|---|---|\n"
    for row in part["loops"]:
        start = f"| `{row['backbone']}` | {row['batch']:,} | {row['kind']} | "
        if "error" in row:
            text += start + f"{row['error']} | |\n"
            continue
        own = [r for r in part["rows"] if (r["backbone"], r["batch"]) == (row["backbone"], row["batch"])]
        plain = [r["images_per_second"] / row["images_per_second"] for r in own if "images_per_second" in r]
        text += start + f"{row['images_per_second']:,.0f} | {', '.join(f'{value:.2f}' for value in plain[:2])} |\n"
    text += (
        "\nThe last column has the step that is not compiled, then the compiled one. On the device v2 draws once for a "
    )
    text += "whole batch, so all its images are cut and coloured alike; `ssl` draws for each image. In workers, 16 "
    return text + "processes read JPEG files.\n"


def _measured(row: dict[str, Any]) -> list[str]:
    if "error" in row:
        return [row["error"], *[""] * 9]
    parts = [f"{row['parts'].get(name, 0):.0%}" for name in ("data", "augment", "forward", "backward", "optimizer")]
    share = f"{row['share_of_peak']:.0%}" if "share_of_peak" in row else ""
    memory = f"{row['memory_gib']:.1f}" if "memory_gib" in row else ""
    rate, step = f"{row['images_per_second']:,.0f}", f"{1000 * row['seconds']:.1f}"
    return [rate, step, share, memory, *parts, f"{row['warm_up']:.0f} s"]


def training(part: dict[str, Any]) -> str:
    """Return the section on the run."""
    summary = part["summary"]
    text = f"## SimCLR for {part['seconds'] / 60:.1f} minutes\n\n```text\nssl {part['command']}\n```\n\n"
    text += f"{summary.get('epochs', 0):g} epochs in {summary.get('seconds', 0):.0f} s of training, "
    text += f"{summary.get('images_per_second', 0):,.0f} images a second with evaluations, data waited for "
    text += (
        f"{summary.get('data_wait_share', 0):.1%} of the step; {part['seconds']:.0f} s with the first pass over the "
    )
    text += "files and the closing measurement.\n\n| epoch | kNN on val |\n|---|---|\n"
    text += "".join(f"| {epoch:g} | {100 * knn:.1f} |\n" for epoch, knn in part["knn"])
    text += "\nOn the test split, scored once (accuracy in %):\n\n"
    text += "| model | probe | labels | accuracy |\n|---|---|---|---|\n"
    for row in summary.get("results", []):
        text += f"| {row['model']} | {row['probe']} | {row['labels']} | {100 * row['mean']:.1f} |\n"
    return text
