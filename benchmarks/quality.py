"""What is learned per second on a CPU: candidates at equal computed cost, chosen on half of the training images.

Test images are never opened: half of the training images are taken, and some of these held out, to choose penalties on
and to score.
"""

import json
import os
import statistics
import time
from pathlib import Path

from benchmarks.images import folder

KEPT = Path("outputs/benchmarks")
PER_CLASS = 2_500  # images of each class that the choice is made on
SCORED = 8_000  # at most so many images of each split, for the linear classifier
BUDGET = 16_000  # images: a recipe trains for as many steps as cost what so many cost `convnet` at full size
BATCH = 64  # of the measurement of costs
SIZES = (16, 20, 24, 32)
NETWORKS = {  # name -> overrides
    "convnet": ["backbone=convnet"],
    "48-96-192": ["backbone=convnet_fast", "backbone.widths=[48,96,192]"],
    "64-128-256": ["backbone=convnet_fast"],
    "96-192-384": ["backbone=convnet_fast", "backbone.widths=[96,192,384]"],
}
GROWING = ["20 until 50%", "24 until 80%"]
FROM_16 = ["16 until 50%", "24 until 80%"]
SMALL_BATCH = ["trainer.batch_size=128"]
RECIPES = {  # name -> network, stages of trainer.progressive, overrides; in the order of training
    "64-128-256, growing, batch 128": ("64-128-256", GROWING, SMALL_BATCH),
    "convnet as shipped": ("convnet", [], []),
    "64-128-256, growing from 16, batch 128": ("64-128-256", FROM_16, SMALL_BATCH),
    "64-128-256, growing": ("64-128-256", GROWING, []),
    "48-96-192, growing, batch 128": ("48-96-192", GROWING, SMALL_BATCH),
    "the first, crops from 0.2": ("64-128-256", GROWING, [*SMALL_BATCH, "augment.crop.scale=[0.2,1.0]"]),
    "the first, temperature 0.5": ("64-128-256", GROWING, [*SMALL_BATCH, "method.temperature=0.5"]),
    "the first, rate 0.004": ("64-128-256", GROWING, [*SMALL_BATCH, "optimizer.lr=0.004"]),
}


def costs(options) -> dict:
    """Measure processor seconds a step, of each network at each size of its views, in turn; one thread."""
    networks = {}
    for name, overrides in NETWORKS.items():
        e = prepared(half(options), *overrides, f"trainer.batch_size={BATCH}")
        e.method.train()
        networks[name] = stepper(e)
    seconds = {(name, size): [] for name in networks for size in SIZES}
    for number in range(options.rounds + 1):  # the first is to warm up
        for (name, size), values in seconds.items():
            began = time.process_time()
            networks[name](number, size)
            values.append((time.process_time() - began) / BATCH)
    cost = {name: {str(size): statistics.median(seconds[name, size][1:]) for size in SIZES} for name in networks}
    full = cost["convnet"]["32"]
    head = "milliseconds an image (times as fast as `convnet` at 32)"
    table = [[head, *(f"{size} pixels" for size in SIZES)]]
    table += [
        [name, *(f"{1e3 * value:.2f} ({full / value:.2f})" for value in row.values())] for name, row in cost.items()
    ]
    notes = [
        f"A step of SimCLR on batches of {BATCH}, all parts of it, on one thread; medians of {options.rounds}, all in "
        "turn. Processor time, so that other work on the machine counts little."
    ]
    return {"ratios": [], "table": table, "notes": notes, "cost": cost}


def measure(options) -> dict:
    """Train and score the recipes that have not been yet; see `benchmarks.__main__`."""
    cost = json.loads((KEPT / "quality_cost.json").read_text())["cost"]
    rows = []
    for name in RECIPES:
        file = KEPT / "quality" / f"{name}.json"
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(learned(name, options, cost), indent=2) + "\n")
            print(name, file.read_text(), flush=True)
        rows.append(json.loads(file.read_text()))
    table = [["recipe", "steps", "linear, %", "of averaged weights, %"]]
    table += [
        [name, row["steps"], f"{row['linear']:.1f}", f"{row['average']:.1f}"]
        for name, row in zip(RECIPES, rows, strict=True)
    ]
    notes = [
        f"Each recipe trains for as many steps as cost what {BUDGET:,} images cost `convnet` at full size, by the "
        "table before. One seed each, 18,000 images to learn from; scored on 5,000 other images of the training split.",
        "`growing` is `trainer.progressive=[20 until 50%,24 until 80%]`; from 16: with 16 in place of 20. Averaged are "
        "the last weights, over about a tenth of the steps.",
        f"Search effort: the {len(RECIPES)} rows of this table, once each. The noise between seeds was not measured; "
        "an accuracy on 5,000 images alone has a standard error of 0.7 points.",
    ]
    return {"ratios": [], "table": table, "notes": notes}


def half(options) -> Path:
    """Return a folder <class>/*.jpg with links to half of the training images."""
    place = KEPT / "quality" / "half"
    if not place.exists():
        for source in sorted((folder(options.data, 50_000) / "train").iterdir()):
            (place / source.name).mkdir(parents=True)
            for file in sorted(source.iterdir())[:PER_CLASS]:
                os.link(file, place / source.name / file.name)
    return place.resolve()


def prepared(data: Path, *overrides: str):
    """Return the experiment that `ssl train` would run."""
    from benchmarks.harness import compose_run
    from ssl_cli.setup.prepare import prepare
    from ssl_cli.system.memory import keep_freed_memory

    keep_freed_memory()
    root = ["dataset=folder", f"dataset.root={data}", "dataset.storage_size=32", "method=simclr"]
    return prepare(compose_run(*root, "trainer.threads=1", *overrides))


def stepper(e):
    """Return a function that does one training step, as the trainer does."""
    import torch

    from ssl_cli.data.loader import mix
    from ssl_cli.optim.groups import follow_schedule

    generator = torch.Generator()

    def step(number: int, size: int | None = None) -> None:
        e.pretext.view_size = size or e.view_sizes(number)
        follow_schedule(e.optimizer, e.schedule(number), number / e.total_steps)
        generator.manual_seed(mix(e.config.seed, 2, number))
        task = e.pretext(e.loader.batch(number), generator)
        task.views = [view.contiguous(memory_format=torch.channels_last) for view in task.views]
        e.method(task)["loss"].backward()
        e.optimizer.step()
        e.optimizer.zero_grad(set_to_none=True)

    return step


def steps_for(stages: list[str], cost: dict[str, float], seconds: float, batch: int) -> int:
    """Return the steps that ``seconds`` pay for, where an image costs ``cost`` at each size."""
    ends = [(text.split(" until ")[0], float(text.split(" until ")[1].rstrip("%")) / 100) for text in stages]
    begins = [0.0, *(end for _, end in ends)]
    mean = sum(cost[size] * (end - begin) for (size, end), begin in zip([*ends, ("32", 1.0)], begins, strict=True))
    return round(seconds / mean / batch)


def learned(name: str, options, cost: dict) -> dict:
    """Train one recipe; return its steps, and its accuracy in percent with the last weights and with their average."""
    from ssl_cli.methods.shared.ema import EMA

    network, stages, overrides = RECIPES[name]
    batch = 128 if SMALL_BATCH[0] in overrides else 256
    steps = steps_for(stages, cost[network], BUDGET * cost["convnet"]["32"], batch)
    overrides = [*NETWORKS[network], f"trainer.progressive=[{','.join(stages)}]", *overrides]
    e = prepared(half(options), *overrides, f"trainer.max_steps={steps}")
    average = EMA(e.method.backbone, 1 - 10 / steps, buffers="copy", warm=True)
    e.method.train()
    step, began = stepper(e), time.process_time()
    for number in range(steps):
        step(number)
        average.update(e.method.backbone, 1.0)
    seconds = time.process_time() - began
    found = {"linear": accuracy(e, e.method.backbone), "average": accuracy(e, average.module)}
    return {"steps": steps, "seconds": seconds, **found}


def accuracy(e, backbone) -> float:
    """Return the accuracy, in percent, of a linear classifier on the features of held-out images."""
    from ssl_cli.probes.base import Features, Split
    from ssl_cli.probes.frozen.features import extract
    from ssl_cli.probes.linear import Linear

    parts = {}
    for name, at in e.data.splits.items():
        at = at[:: max(1, -(-len(at) // SCORED))]
        features = extract(backbone, e.data.inputs, at, e.info, e.device)
        parts[name] = Split(features, e.data.labels[at])
    probe = Linear(["all"], penalties=[1e-3, 1e-2, 1e-1])
    (result,) = probe.run(Features(parts["train"], parts["val"], parts["test"], len(e.info.classes)))
    return 100 * result.row["mean"]
