"""The same images, minutes and probe: `experiment=cpu_small`, and lightly's example with `convnet`."""

import os
import time
from pathlib import Path

from benchmarks.harness import Variant, median, take_turns
from benchmarks.images import folder
from benchmarks.peers import Missing, python_with, version_of
from benchmarks.quality import KEPT, PER_CLASS, accuracy, prepared, stepper

LEARNED_FROM = 2_000  # images of each class, none of those that the recipe was chosen on
EPOCHS, BATCH = 10, 256  # of lightly
PACE = 10  # steps that are timed before, to know how many fit
PARTS = 20  # that each training is cut into, to take turns
SHARES = {"a sixth of the time": 1 / 6, "the same time": 1.0}
TARGETS = {"a sixth of the time": 0.0, "the same time": 6.0}  # points above lightly
RATES = (0.06, 0.3)  # of lightly's SGD: its example's, and one that suits a short training better


def measure(options) -> dict:
    """Measure the row; see `benchmarks.__main__`."""
    data = str(images(options))
    try:
        python = python_with("lightly")
    except Missing as error:
        return {"ratios": [], "table": [], "notes": [f"lightly: skipped, {error}"]}
    steps = EPOCHS * LEARNED_FROM * 10 // BATCH
    here, setting = "benchmarks.quality_peer", {"data": data, "threads": options.threads}
    version = version_of("lightly", python)
    peers = {f"lightly {version}, rate {rate}": {**setting, "steps": steps, "rate": rate} for rate in RATES}
    pace = take_turns(
        {
            "ssl": Variant(f"{here}:ours", {**setting, "steps": PACE, "parts": 1}),
            "lightly": Variant(f"{here}:lightly", {**setting, "steps": PACE, "parts": 1, "rate": RATES[0]}, python),
        },
        3,
        options.threads,
    )
    fit = steps * median(pace["lightly"], "seconds") / median(pace["ssl"], "seconds")  # into the time of lightly
    peers = {name: Variant(f"{here}:lightly", {**own, "parts": PARTS}, python) for name, own in peers.items()}
    ours = {
        share: Variant(f"{here}:ours", {**setting, "steps": round(fit * part), "parts": PARTS})
        for share, part in SHARES.items()
    }
    rounds = take_turns({**ours, **peers}, PARTS, options.threads)
    best = max(rows[-1]["linear"] for name, rows in rounds.items() if name in peers)
    table = [["", "steps", "minutes", "linear, %"]]
    for name, rows in rounds.items():
        minutes = sum(row["seconds"] for row in rows) / 60
        label = name if name in peers else f"ssl, {name}"
        table.append([label, rows[-1]["steps"], f"{minutes:.1f}", f"{rows[-1]['linear']:.1f}"])
    notes = [
        f"`{share}`: {rounds[share][-1]['linear'] - best:+.1f} points beside lightly's better rate; the aim is "
        f"{TARGETS[share]:+.0f}."
        for share in SHARES
    ]
    notes += [
        f"20,000 images, one seed, scored on the test split. lightly: {EPOCHS} epochs of its example with `convnet`, "
        f"batch {BATCH}, SGD with a cosine schedule, {len(RATES)} rates tried; its 2 workers decode and augment.",
        "All take turns; the seconds are of training alone. The steps of `ssl` are what its step, timed before, says "
        "that fit into the time of lightly.",
    ]
    return {"ratios": [], "table": table, "notes": notes}


def images(options) -> Path:
    """Return a folder with links to images that the recipe was not chosen on, and to the test images."""
    place = KEPT / "quality" / "peer"
    if not place.exists():
        root = folder(options.data, 50_000)
        for split, chosen in (("train", slice(PER_CLASS, PER_CLASS + LEARNED_FROM)), ("test", slice(None))):
            for source in sorted((root / split).iterdir()):
                (place / split / source.name).mkdir(parents=True)
                for file in sorted(source.iterdir())[chosen]:
                    os.link(file, place / split / source.name / file.name)
    return place.resolve()


def ours(data: str, threads: int, steps: int, parts: int):
    """Return the trainer's steps, a part of the training at a time; only after several parts is it scored."""
    e = prepared(Path(data), "experiment=cpu_small", f"trainer.threads={threads}", f"trainer.max_steps={steps}")
    e.method.train()
    return _in_parts(stepper(e), steps, parts, lambda: accuracy(e, e.method.backbone))


def lightly(data: str, threads: int, steps: int, parts: int, rate: float):
    """Return the steps of lightly's example: its transform, head, loss and optimizer; likewise."""
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms.simclr_transform import SimCLRTransform
    from torchvision.datasets import ImageFolder

    e = prepared(Path(data), f"trainer.threads={threads}")  # the same probe on the same splits
    net = e.method.backbone
    model = torch.nn.Sequential(net, SimCLRProjectionHead(net.dim, 256, 128))
    dataset = ImageFolder(f"{data}/train", transform=SimCLRTransform(input_size=32, gaussian_blur=0.0, cj_strength=0.5))
    loader = torch.utils.data.DataLoader(dataset, BATCH, shuffle=True, drop_last=True, num_workers=2)
    criterion, optimizer = NTXentLoss(), torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def forever():
        while True:
            yield from loader

    batches = forever()

    def step(number: int) -> None:
        (first, second), _ = next(batches)
        loss = criterion(model(first), model(second))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()

    model.train()
    return _in_parts(step, steps, parts, lambda: accuracy(e, net))


def _in_parts(step, steps: int, parts: int, score):
    done = [0]

    def once() -> dict[str, float]:
        part, began = done[0] % parts, time.perf_counter()
        for number in range(steps * part // parts, steps * (part + 1) // parts):
            step(number)
        done[0] += 1
        row = {"seconds": time.perf_counter() - began, "steps": steps}
        return {**row, "linear": score()} if 1 < parts == part + 1 else row

    return once
