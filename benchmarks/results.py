"""Make docs/results.md from a sweep over methods and seeds.

ssl train -m 'method=glob(*)' seed=0,1,2 trainer.threads=1 hydra.sweep.dir=outputs/results
python benchmarks/results.py outputs/results > docs/results.md
"""

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path

COLUMNS = [("knn", "all"), ("linear", "all"), ("linear", "10/class"), ("linear", "1/class")]

HEAD = """\
# Results on the digits

Every method with its shipped defaults on `dataset=digits` ({images}; `backbone=convnet`), {seeds} seeds; made by

```sh
ssl train -m 'method=glob(*)' seed=0,1,2 trainer.threads=1 hydra.sweep.dir=outputs/results
python benchmarks/results.py outputs/results > docs/results.md
```

on {machine}, Python {python}, torch {torch}. Accuracy in % on the test split:
mean ± deviation over seeds; each few-label number is itself a mean over {draws} draws of the labels. Seconds are of
training on one thread, up to four runs side by side on the two cores: compare them roughly. `collapsed` counts the
seeds whose embedding was collapsed at the end.

These are ten classes of 8x8-pixel digits and one minute of training: the order of the methods here is not a property
of the methods. Several methods' settings for so small a net were chosen on this very data set (by kNN on `val`), so
read the table as a check that each method learns something that neither the pixels nor the architecture has.

| model | kNN | linear, all labels | linear, 10 per class | linear, 1 per class | seconds | collapsed |
|---|---|---|---|---|---|---|
"""


def main(directory: Path) -> None:
    """Print the page for the finished jobs below ``directory``."""
    scores, seconds, collapsed = defaultdict(lambda: defaultdict(list)), defaultdict(list), defaultdict(int)
    unfinished, environment, seeds, draws = [], {}, set(), 0
    for file in sorted(directory.glob("*/summary.json")):
        summary = json.loads(file.read_text())
        if summary["state"] != "finished":
            unfinished.append(f"{file.parent.name}: {summary['state']} {summary.get('error', '')}")
            continue
        environment = json.loads((file.parent / "env.json").read_text())
        seeds.add(summary["seed"])
        seconds[summary["method"]].append(summary["seconds"])
        collapsed[summary["method"]] += summary["collapsed"]
        for row in summary["results"]:
            draws = max(draws, row["n"])
            if row["model"] != "pixels" or summary["seed"] == 0:  # pixels know no seed
                scores[row["model"]][row["probe"], row["labels"]].append(100 * row["mean"])
    if not scores:
        sys.exit(f"there is no finished run in {directory}")
    print(
        HEAD.format(
            images="1,258 train, 180 val, 359 test",
            seeds=len(seeds),
            machine=f"{environment['cpus']} CPU cores ({environment['platform'].split('-')[0]})",
            python=environment["python"],
            torch=environment["packages"]["torch"],
            draws=draws,
        ),
        end="",
    )
    baselines = ["pixels", "random"]
    methods = sorted(set(scores) - set(baselines), key=lambda m: -statistics.fmean(scores[m]["linear", "10/class"]))
    for model in baselines + methods:
        cells = [cell(scores[model][column]) for column in COLUMNS]
        cost = f"{statistics.fmean(seconds[model]):.0f}" if model in seconds else ""
        print(f"| {model} | {' | '.join(cells)} | {cost} | {collapsed[model] if model in seconds else ''} |")
    for line in unfinished:
        print(f"\nNot finished: {line}")


def cell(values: list[float]) -> str:
    """Return ``mean ± deviation``; of equal values (one seed, or a deterministic baseline) only the mean."""
    if len(set(values)) == 1:
        return f"{values[0]:.1f}"
    return f"{statistics.fmean(values):.1f} ± {statistics.stdev(values):.1f}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
