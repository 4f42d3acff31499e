"""What is quicker here than elsewhere, and by how much: `python -m benchmarks all --out docs/benchmarks.md`.

Each row is measured by itself and kept as JSON in outputs/benchmarks/, so that one can be measured again alone.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks import (
    augmentation,
    commands,
    features,
    files,
    limit,
    page,
    probing,
    quality,
    quality_peer,
    startup,
    step,
    wall,
)
from benchmarks.harness import machine

ROWS = {  # name -> what it measures, how
    "augment": ("Two-view augmentation, 32x32", augmentation.measure),
    "step_convnet": ("Training step of SimCLR, `convnet`", step.convnet),
    "step_resnet18": ("Training step of SimCLR, `resnet18` with the stem for small images", step.resnet18),
    "limit_convnet": ("Model part of the step against matrix products, `convnet`", limit.convnet),
    "limit_resnet18": ("Model part of the step against its convolutions alone, `resnet18`", limit.resnet18),
    "files": ("A folder of JPEG files, 32x32", files.small),
    "files_224": ("A folder of photos, 224x224", files.large),
    "files_camera": ("A folder of photos of 12 megapixels", files.camera),
    "mapped": ("A cache larger than memory", files.streaming),
    "features": ("Features of photos of a frozen network, 224x224", features.measure),
    "linear": ("Linear probe, 50,000 x 512", probing.linear),
    "knn": ("kNN probe, 50,000 x 10,000 x 512", probing.knn),
    "quality_cost": ("What an image costs, by network and size of its views", quality.costs),
    "quality": ("What is learned at equal cost", quality.measure),
    "quality_peer": ("What lightly's example learns at equal cost", quality_peer.measure),
    "wall": ("Wall time to a given kNN accuracy, `convnet`", wall.measure),
    "startup": ("Start-up", startup.measure),
    "commands": ("Commands on runs that stand", commands.measure),
}
TRAININGS = ("quality", "quality_peer")  # that take hours: only where they are named
KEPT = Path("outputs/benchmarks")


def main() -> int:
    """Measure the rows that are named, and write the page of all that have been measured.

    `results` is a page of its own, with options of its own.
    """
    if sys.argv[1:2] == ["results"]:
        from benchmarks import results

        return results.main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        choices=["all", "page", *ROWS],
        help="all but the trainings of hours, page, or rows; results: see results --help",
    )
    parser.add_argument("--out", type=Path, help="the page; without it, results are printed")
    parser.add_argument("--data", help="a folder with train/<class>/*.jpg of 32x32 pixels; without it, made-up images")
    parser.add_argument("--data-name", default="", help="what the page calls that folder")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each variant")
    parser.add_argument("--threads", type=int, default=None, help="of computation; by default, all that may be used")
    parser.add_argument("--resume", action="store_true", help="leave out rows that have been measured")
    options = parser.parse_args()
    from ssl_cli.system.cpus import usable_cpus

    options.threads = options.threads or usable_cpus()
    names = [name for name in options.names if name not in ("all", "page")]
    if "all" in options.names:
        names = [name for name in ROWS if name in names or name not in TRAININGS]
    KEPT.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names:
        file = KEPT / f"{name}.json"
        if options.resume and file.exists():
            continue
        print(f"{name}: {ROWS[name][0]}", file=sys.stderr, flush=True)
        began, where = time.monotonic(), machine(options.threads)
        options.bf16 = where["bf16"]
        try:
            row = ROWS[name][1](options)
        except Exception as error:  # the other rows are worth having
            failed.append(name)
            print(f"{name} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            continue
        kept = {"machine": where, "took": time.monotonic() - began, "data": options.data_name or "images", **row}
        file.write_text(json.dumps(kept, indent=2) + "\n")
        for entry in row["ratios"]:
            print(f"  {entry['label']}: {entry.get('ratio', entry.get('share')):.3g}", file=sys.stderr, flush=True)
    rows = {name: json.loads((KEPT / f"{name}.json").read_text()) for name in ROWS if (KEPT / f"{name}.json").exists()}
    titles = {name: title for name, (title, _) in ROWS.items()}
    text = page.render(rows, titles, (options.out or Path("docs/benchmarks.md")).as_posix(), TRAININGS)
    if options.out:
        options.out.write_text(text)
    else:
        print(text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
