"""How many labels does each way of learning need? Test accuracy against labels per class, on the same label draws.

python benchmarks/label_efficiency.py                # runs what is not there yet (one to two hours on two cores), then:
                                                     # docs/label_efficiency.md and docs/label_efficiency.svg
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ssl_cli.compare.entries import collect
from ssl_cli.runs.catalog import BASELINES

BUDGETS = ("1/class", "2/class", "4/class", "10/class", "40/class", "all")
# Of runs that see labels: small batches, so that few epochs are many steps; only the own classifier is of interest.
LABELLED = ["trainer.epochs=30", "trainer.batch_size=128", "trainer.eval_every=1000", "probes.linear.labels=[all]"]
METHODS = {  # name in the table -> model in it
    "raw pixels, linear": "pixels",
    "supervised": "supervised",
    "pseudo_label": "pseudo_label",
    "fixmatch": "fixmatch",
    "rotation, linear": "rotation",
    "simclr, linear": "simclr",
    "simclr, fine-tuned": "finetuned",
}

PAGE = """\
# How many labels does it take?

Test accuracy in % on `dataset={dataset}` ({images}) with `backbone={backbone}`, against the number of human labels;
mean ± deviation over {seeds} seeds. Seed s is the seed of the training and of the label draw, so in each cell all
rows saw the same labels (`labels.json` of each run). The 1-label sets are inside the 2-label sets, and so on. Made
by

```sh
python benchmarks/label_efficiency.py
```

{table}

![Test accuracy against labels per class](label_efficiency.svg)

How each row was made:

- **raw pixels, linear**, **simclr, linear**, **rotation, linear**: logistic regression on pixels, or on the frozen
  features of a run that saw no label (`method=simclr`; `method=predict pretext=rotation`; shipped settings). Its L2
  penalty was chosen on the `val` split, which has {val} labelled images: more than most budgets.
- **supervised**, **pseudo_label**, **fixmatch**: the method's own classifier after its last step, with its shipped
  settings and the data set's augmentation, except `trainer.epochs=30 trainer.batch_size=128` (270 steps); nothing was
  chosen on `val` by the run. With all labels nothing is left to pseudo-label.
- **simclr, fine-tuned**: `method=supervised init=RUN`, all weights, the same number of steps as `supervised`.

A pretext task can be easy to solve and of little use. The network learns to tell by how much a digit was turned,
and not all of what it learns for that helps: 0, 1 and 8 look the same upside down, and a turned 6 is a 9, so it
must learn to tell apart what is one class, and is never asked to tell apart what are two. It ends above the pixels,
and below SimCLR and below training from the same few labels alone.

In a batch of **pseudo_label** and **fixmatch** one image in eight is labelled (`method.mu=7`), so in equally many
steps they see an eighth as many labelled images as **supervised** does, which costs **pseudo_label** more than its
guesses bring here.

The figures are of one small data set and short runs on a CPU: they show what the tool does, not what a method is
worth.
"""


def main() -> None:
    """Run what is missing, then write the page and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=Path, default=Path("outputs/label_efficiency"), help="where the runs are kept")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, each on one thread")
    parser.add_argument("settings", nargs="*", help="more overrides for every run")
    options = parser.parse_args()
    runs = options.runs
    with ThreadPoolExecutor(options.jobs) as pool:

        def each(jobs: list[Callable[[], None]]) -> None:
            for job in [pool.submit(job) for job in jobs]:
                job.result()

        common = ["trainer.threads=1", *options.settings]
        seeds = range(options.seeds)
        pretrained = {"simclr": ["method=simclr"], "rotation": ["method=predict", "pretext=rotation"]}
        each(
            [
                lambda p=runs / f"{name}-{s}", a=args, s=s: train(p, [*a, f"seed={s}", *common])
                for s in seeds
                for name, args in pretrained.items()
            ]
        )
        jobs = []
        for s in seeds:
            for budget in BUDGETS:
                where = f"{budget.replace('/', '-')}-{s}"
                labels = [f"dataset.labels={budget}", f"dataset.label_seed={s}"]
                own = {"supervised": ["method=supervised"]}
                own["finetuned"] = ["method=supervised", f"init={runs / f'simclr-{s}'}"]
                if budget != "all":
                    own |= {name: [f"method={name}"] for name in ("pseudo_label", "fixmatch")}
                for name, args in own.items():
                    args = [*args, *labels, f"seed={s}", *LABELLED, *common]
                    jobs.append(lambda p=runs / f"{name}-{where}", a=args: train(p, a))
                for name in pretrained:
                    args = [f"ckpt={runs / f'{name}-{s}'}", "dataset=digits", *labels, "probe.labels=[all]"]
                    jobs.append(lambda p=runs / f"{name}-{where}", a=args: probe(p, a))
        each(jobs)
    write(runs, options.out, options.seeds)


def train(path: Path, args: list[str]) -> None:
    """Train unless it is done; an interrupted run goes on."""
    state = json.loads((path / "summary.json").read_text())["state"] if (path / "summary.json").is_file() else None
    if state == "finished":
        return
    run(["train", *([f"resume={path}"] if state else [*args, f"hydra.run.dir={path}"])], path)


def probe(path: Path, args: list[str]) -> None:
    """Probe unless it is done."""
    if not (path / "result.json").is_file():
        run(["probe", "probe=linear", *args, "trainer.threads=1", f"hydra.run.dir={path}"], path)


def run(args: list[str], path: Path) -> None:
    """Run one command of ssl."""
    print(path.name, flush=True)
    done = subprocess.run([sys.executable, "-m", "ssl_cli", *args], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(args)}\n{done.stderr}")


def accuracy(runs: Path, model: str, budget: str, seed: int) -> float | None:
    """Return the test accuracy in % of one cell for one seed, or None where there is none."""
    where = f"{budget.replace('/', '-')}-{seed}"
    path = runs / f"{'simclr' if model == 'pixels' else model}-{where}"
    if not any((path / name).is_file() for name in ("summary.json", "result.json")):
        return None
    rows = [row for entry in collect([path])[0] for row in entry.rows]
    probe = "linear" if model in ("pixels", "simclr", "rotation") else "classifier"
    for row in rows:
        if row["probe"] == probe and (row["model"] == "pixels" if model == "pixels" else row["model"] not in BASELINES):
            return 100 * row["mean"]
    return None


def write(runs: Path, out: Path, seeds: int) -> None:
    """Write the table and the figure."""
    cells = {
        (title, budget): [a for s in range(seeds) if (a := accuracy(runs, model, budget, s)) is not None]
        for title, model in METHODS.items()
        for budget in BUDGETS
    }
    heads = [b.replace("/class", " per class") for b in BUDGETS]
    table = [f"| labels | {' | '.join(heads)} |", "|---" * (len(BUDGETS) + 1) + "|"]
    for title in METHODS:
        shown = [cells[title, budget] for budget in BUDGETS]
        best = {b: max(statistics.fmean(cells[t, b]) for t in METHODS if cells[t, b]) for b in BUDGETS}
        texts = []
        for values, budget in zip(shown, BUDGETS, strict=True):
            text = f"{statistics.fmean(values):.1f}" if values else "–"
            text = f"**{text}**" if values and statistics.fmean(values) == best[budget] else text
            texts.append(text + (f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""))
        table.append(f"| {title} | {' | '.join(texts)} |")
    page = PAGE.format(
        dataset="digits",
        images="1,258 train, 180 val, 359 test images",
        backbone="convnet",
        seeds=seeds,
        val=180,
        table="\n".join(table),
    )
    out.mkdir(exist_ok=True)
    (out / "label_efficiency.md").write_text(page)
    draw(cells, out / "label_efficiency.svg")
    print("\n".join(table))


def draw(cells: dict[tuple[str, str], list[float]], file: Path) -> None:
    """Draw accuracy against labels per class, with the deviation over seeds."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "ssl"
    from matplotlib import pyplot as plt

    places = [1, 2, 4, 10, 40, 126]  # all: 1,258 labels of ten classes
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    palette = ["#777777", "#000000", "#e69f00", "#d55e00", "#cc79a7", "#56b4e9", "#0072b2"]  # Okabe and Ito 2008
    for (title, colour), marker in zip(zip(METHODS, palette, strict=True), "sovD^<>", strict=True):
        points = [(x, cells[title, b]) for x, b in zip(places, BUDGETS, strict=True) if cells[title, b]]
        means = [statistics.fmean(values) for _, values in points]
        spread = [statistics.stdev(values) if len(values) > 1 else 0 for _, values in points]
        axes.errorbar([x for x, _ in points], means, spread, label=title, color=colour, marker=marker, capsize=3)
    axes.set_xscale("log")
    axes.set_xticks(places, [*map(str, places[:-1]), "all"])
    axes.minorticks_off()
    axes.set_xlabel("human labels per class")
    axes.set_ylabel("test accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    main()
