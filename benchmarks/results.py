r"""Make docs/results.md from a sweep over methods and seeds.

ssl train -m 'method=glob(*, exclude=[pseudo_label,mean_teacher,fixmatch,flexmatch])' seed=0,1,2 trainer.threads=1 \
    hydra.sweep.dir=outputs/results
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

Every method that can do without a label budget, with its shipped defaults on `dataset=digits` ({images}),
{seeds} seeds; made by

```sh
ssl train -m 'method=glob(*, exclude=[pseudo_label,mean_teacher,fixmatch,flexmatch])' seed=0,1,2 \\
    trainer.threads=1 hydra.sweep.dir=outputs/results
python benchmarks/results.py outputs/results > docs/results.md
```

on {machine}, Python {python}, torch {torch}. Accuracy in % on the test split:
mean ± deviation over seeds; each few-label number is itself a mean over {draws} draws of the labels. Seconds are of
training on one thread, up to four runs side by side on the two cores: compare them roughly. `collapsed` counts the
seeds whose embedding was collapsed at the end.

These are ten classes of 8x8-pixel digits and one minute of training: the order of the methods here is not a property
of the methods. Several methods' settings for so small a net were chosen on this very data set (by kNN on `val`), so
read the table as a check of what each method learns that neither the pixels nor the architecture has. Compare each to
the random weights of its own backbone: `mae` brings a transformer, `cpc`, `ebm` and `jem` nets without BatchNorm.
Predicting pixels or patches and modelling densities learn slowly: `mae` learns nothing in 60 epochs here (with
`trainer.epochs=180` it reached 84.5 with 10 labels per class, one run). Semi-supervised methods need a label budget:
they are compared in [label_efficiency.md](label_efficiency.md).

| model | kNN | linear, all labels | linear, 10 per class | linear, 1 per class | seconds | collapsed |
|---|---|---|---|---|---|---|
"""


def main(directories: list[Path]) -> None:
    """Print the page for the finished jobs below the directories."""
    scores, seconds, collapsed = defaultdict(lambda: defaultdict(list)), defaultdict(list), defaultdict(int)
    unfinished, environment, seeds, draws = [], {}, set(), 0
    for file in sorted(file for directory in directories for file in directory.glob("*/summary.json")):
        summary = json.loads(file.read_text())
        if summary["state"] != "finished":
            unfinished.append(f"{file.parent.name}: {summary['state']} {summary.get('error', '')}")
            continue
        backbone = (file.parent / "config.yaml").read_text().split("ssl_cli.backbones.")[1].split(".")[0]
        norm, group = (f"norm: {kind}" in (file.parent / "config.yaml").read_text() for kind in ("none", "group"))
        backbone += "_plain" * norm + "_group" * group
        environment = json.loads((file.parent / "env.json").read_text())
        seeds.add(summary["seed"])
        own = name_of(summary, summary["method"])
        seconds[own].append(summary["seconds"])
        collapsed[own] += summary["collapsed"]
        for row in summary["results"]:
            draws = max(draws, row["n"])
            if row["model"] != "pixels" or summary["seed"] == 0:  # pixels know no seed
                model = f"random {backbone}" if row["model"] == "random" else name_of(summary, row["model"])
                cells = scores[model][row["probe"], row["labels"]]
                if row["model"] != "random" or len(cells) < len(seeds):  # the same for every method with this backbone
                    cells.append(100 * row["mean"])
    if not scores:
        sys.exit("there is no finished run")
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
    baselines = ["pixels", *sorted(model for model in scores if model.startswith("random"))]
    methods = sorted(set(scores) - set(baselines), key=lambda m: -statistics.fmean(scores[m]["linear", "10/class"]))
    for model in baselines + methods:
        cells = [cell(scores[model][column]) for column in COLUMNS]
        cost = f"{statistics.fmean(seconds[model]):.0f}" if model in seconds else ""
        print(f"| {model} | {' | '.join(cells)} | {cost} | {collapsed[model] if model in seconds else ''} |")
    for line in unfinished:
        print(f"\nNot finished: {line}")


def name_of(summary: dict, model: str) -> str:
    """Return a row's name: the model's, with the pretext where one was chosen."""
    chosen = [item.split("=")[1] for item in summary["overrides"] if item.startswith("pretext=")]
    return f"{model}, {chosen[0]}" if chosen and model == summary["method"] else model


def cell(values: list[float]) -> str:
    """Return ``mean ± deviation``; of equal values (one seed, or a deterministic baseline) only the mean."""
    if len(set(values)) == 1:
        return f"{values[0]:.1f}"
    return f"{statistics.fmean(values):.1f} ± {statistics.stdev(values):.1f}"


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
