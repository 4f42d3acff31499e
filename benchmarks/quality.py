"""What is learned per second on a CPU: candidates at equal computed cost, on half of the training images.

python -m benchmarks.quality cost --data DIR               # processor seconds a step of each candidate, taken in turn
python -m benchmarks.quality learn NAME... --data DIR      # trains each for as many steps as the budget pays for

DIR holds train/<class>/*.jpg (CIFAR-10 as JPEG files). Its test images are never opened: half of its training images
are taken, and of these some are held out to choose penalties on (val) and to score.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

SIZES = (20, 24, 28, 32)
NETWORKS = {  # name -> overrides
    "convnet": ["backbone=convnet"],
    "48": ["backbone=convnet_fast", "backbone.widths=[48,96,192]"],
    "64": ["backbone=convnet_fast"],
    "96": ["backbone=convnet_fast", "backbone.widths=[96,192,384]"],
}
RECIPES = {  # name -> network, stages of trainer.progressive, overrides
    "shipped": ("convnet", [], []),
    "48": ("48", [], []),
    "64": ("64", [], []),
    "64-24": ("64", ["20 until 50%", "24 until 80%"], []),
    "96-24": ("96", ["20 until 50%", "24 until 80%"], []),
}
KEPT = Path("outputs/benchmarks/quality")
PER_CLASS = 2_500  # images of each class that the choice is made on


def half(data: Path) -> Path:
    """Return a folder <class>/*.jpg with links to half of the training images."""
    place = KEPT / "half"
    if not place.exists():
        for folder in sorted((data / "train").iterdir()):
            (place / folder.name).mkdir(parents=True)
            for file in sorted(folder.iterdir())[:PER_CLASS]:
                os.link(file, place / folder.name / file.name)
    return place.resolve()


def prepared(data: Path, *overrides: str):
    """Return the experiment that `ssl train` would run."""
    from benchmarks.harness import compose_run
    from ssl_cli.setup.prepare import prepare

    root = ["dataset=folder", f"dataset.root={data}", "dataset.storage_size=32", "method=simclr"]
    return prepare(compose_run(*root, "trainer.threads=1", *overrides))


def stepper(e):
    """Return a function that does one training step, as the trainer does."""
    import torch

    from ssl_cli.data.loader import mix
    from ssl_cli.optim.groups import follow_schedule

    generator = torch.Generator()

    def step(number: int, size: int | None = None) -> float:
        e.pretext.view_size = size or e.view_sizes(number)
        follow_schedule(e.optimizer, e.schedule(number), number / e.total_steps)
        generator.manual_seed(mix(e.config.seed, 2, number))
        task = e.pretext(e.loader.batch(number), generator)
        task.views = [view.contiguous(memory_format=torch.channels_last) for view in task.views]
        loss = e.method(task)["loss"]
        loss.backward()
        e.optimizer.step()
        e.method.after_step((number + 1) / e.total_steps)
        e.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


def cost(options) -> None:
    """Measure the processor seconds of a step of each network at each size of its views, in turn."""
    from ssl_cli.system.memory import keep_freed_memory

    keep_freed_memory()
    steps = {}
    for name in options.names or NETWORKS:
        e = prepared(half(options.data), *NETWORKS[name], f"trainer.batch_size={options.batch}")
        e.method.train()
        steps[name] = stepper(e)
    seconds = {f"{name}@{size}": [] for name in steps for size in SIZES}
    for number in range(options.rounds + 1):  # the first is to warm up
        for name, step in steps.items():
            for size in SIZES:
                began = time.process_time()
                step(number, size)
                seconds[f"{name}@{size}"].append((time.process_time() - began) / options.batch)
    file = KEPT / "cost.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    known |= {name: statistics.median(values[1:]) for name, values in seconds.items()}
    file.write_text(json.dumps(known, indent=2) + "\n")
    for name, value in known.items():
        print(f"{name:12} {1e3 * value:6.2f} ms an image  {known.get('convnet@32', value) / value:5.2f}", flush=True)


def learn(options) -> None:
    """Train recipes, each for as many steps as cost what ``options.images`` cost the shipped net, and score them."""
    for name in options.names:
        row = learned(name, options)
        with (KEPT / "learned.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)


def learned(name: str, options) -> dict:
    """Train one recipe; return its scores on images that were held out of the half."""
    import torch

    from ssl_cli.methods.shared.ema import EMA
    from ssl_cli.system.memory import keep_freed_memory

    keep_freed_memory()
    network, stages, overrides = RECIPES[name]
    paid = json.loads((KEPT / "cost.json").read_text())
    batch = next((int(text.split("=")[1]) for text in overrides if text.startswith("trainer.batch_size=")), 256)
    share, mean = 0.0, 0.0
    for text in [*stages, "32 until 100%"]:
        size, end = text.split(" until ")
        mean += (float(end[:-1]) / 100 - share) * paid[f"{network}@{size}"]
        share = float(end[:-1]) / 100
    steps = round(options.images * paid["convnet@32"] / mean / batch)
    overrides = [*NETWORKS[network], f"trainer.progressive=[{','.join(stages)}]", *overrides]
    e = prepared(half(options.data), *overrides, f"trainer.max_steps={steps}", f"seed={options.seed}")
    average = EMA(e.method.backbone, 1 - 10 / steps, buffers="copy", warm=True)
    e.method.train()
    step, began = stepper(e), time.process_time()
    for number in range(steps):
        torch.manual_seed(number)
        loss = step(number)
        average.update(e.method.backbone, 1.0)
    seconds = time.process_time() - began
    row = {
        "name": name,
        "images": options.images,
        "seed": options.seed,
        "steps": steps,
        "seconds": seconds,
        "loss": loss,
    }
    return row | scores(e, e.method.backbone, "") | scores(e, average.module, "average ")


def scores(e, backbone, prefix: str) -> dict[str, float]:
    """Return the accuracies, in percent, of a linear classifier on the features of held-out images."""
    from ssl_cli.probes.base import Features, Split
    from ssl_cli.probes.frozen.features import extract
    from ssl_cli.probes.linear import Linear

    parts = {
        name: Split(extract(backbone, e.data.images, at, e.info.mean, e.info.std, e.device), e.data.labels[at])
        for name, at in e.data.splits.items()
    }
    probe = Linear(["all", "10/class"], draws=5, penalties=[1e-4, 1e-3, 1e-2, 1e-1])
    results = probe.run(Features(parts["train"], parts["val"], parts["test"], len(e.info.classes)))
    return {f"{prefix}{result.labels}": round(100 * result.row["mean"], 2) for result in results}


def main() -> None:
    """Do what is asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("what", choices=["cost", "learn"])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=24_000, help="of the shipped net, that cost as much")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    {"cost": cost, "learn": learn}[options.what](options)


if __name__ == "__main__":
    main()
