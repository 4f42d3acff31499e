"""Wall time to a given accuracy: the same net, schedule and images, here and in lightly's example."""

import time

from benchmarks.harness import Variant, take_turns
from benchmarks.images import folder
from benchmarks.peers import Missing, python_with

IMAGES, HELD_OUT = 8_000, 2_000  # of the folder's training images: to learn from, and of these for kNN
EPOCHS, BATCH = 3, 128


def measure(options) -> dict:
    """Measure the row; see `benchmarks.__main__`."""
    setting = {"data": str(folder(options.data, 20_000))}
    variants = {"ssl": Variant("benchmarks.wall:ours", setting)}
    try:
        variants["lightly"] = Variant("benchmarks.wall:lightly", setting, python_with("lightly"))
    except Missing as error:
        return {"ratios": [], "table": [], "notes": [f"lightly: skipped, {error}"]}
    rounds = take_turns(variants, EPOCHS, options.threads)
    goal = min(max(row["knn"] for row in rows) for rows in rounds.values())
    table, reached = [["", *(f"epoch {i + 1}" for i in range(EPOCHS)), f"seconds to {goal:.1%}"]], {}
    for name, rows in rounds.items():
        total, reached[name] = 0.0, None
        for row in rows:
            total += row["seconds"]
            if reached[name] is None and row["knn"] >= goal:
                reached[name] = total
        table.append([name, *(f"{row['knn']:.1%}" for row in rows), f"{reached[name]:.0f}"])
    value = reached["lightly"] / reached["ssl"]
    ratios = [{"label": "lightly / ssl, one run each", "ratio": value, "low": value, "high": value, "target": 3}]
    notes = [
        f"{IMAGES - HELD_OUT:,} images, {EPOCHS} epochs of AdamW with a cosine schedule, batch {BATCH}, one seed; the "
        "two take turns, epoch by epoch, and kNN (k = 200) on held-out images is not counted.",
        "Its bound is the ratio of a training step, above.",
        "After so few epochs the accuracies differ by chance as much as by anything else: the ratio can hide or add an "
        "epoch.",
    ]
    return {"ratios": ratios, "table": table, "notes": notes}


def _lists(data: str):
    import torch

    from ssl_cli.data.images.folder import load

    everything = load(data, storage_size=32, channels=3)
    train = everything.splits["train"]
    train = train[torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:IMAGES]]
    return everything, train[HELD_OUT:], train[:HELD_OUT]


def _epochs(net, data, learn, held, steps_of):
    from ssl_cli.probes.frozen.features import extract
    from ssl_cli.probes.knn import knn_predict

    info = data.info({}, name=data.name, classes=data.classes, images=len(data.labels), train_size=0, labelled=0)
    batches = iter(range(EPOCHS))

    def once() -> dict[str, float]:
        began = time.perf_counter()
        steps_of(next(batches))
        seconds = time.perf_counter() - began
        keys, queries = (extract(net, data.images, at, info, "cpu") for at in (learn, held))
        predicted = knn_predict(keys, data.labels[learn], queries, 200, 0.07, len(data.classes))
        return {"seconds": seconds, "knn": (predicted == data.labels[held]).double().mean().item()}

    return once


def ours(data: str):
    """Return the trainer's steps, an epoch at a time."""
    from ssl_cli.system.memory import keep_freed_memory

    keep_freed_memory()
    import torch

    from benchmarks.harness import compose_run
    from ssl_cli.config.build import instantiate
    from ssl_cli.data.images.base import pixel_stats
    from ssl_cli.data.loader import Loader
    from ssl_cli.system.device import choose_precision

    everything, learn, held = _lists(data)
    torch.manual_seed(0)
    net, model = _model()
    model = model.to(memory_format=torch.channels_last)
    steps = len(learn) // BATCH
    setting = {"batch_size": BATCH, "steps_per_epoch": steps, "seed": 0, "device": torch.device("cpu")}
    loader = Loader(everything.images, everything.labels, learn, **setting)
    augment = instantiate(compose_run("augment=simclr_small").augment)
    mean, std = pixel_stats(everything)
    bf16 = choose_precision("auto", torch.device("cpu")) == torch.bfloat16
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * steps)
    generator = torch.Generator().manual_seed(0)

    from ssl_cli.methods.simclr import nt_xent

    def epoch(number: int) -> None:
        model.train()
        for step in range(number * steps, (number + 1) * steps):
            views = augment(loader.batch(step).images, mean, std, generator, views=2)
            images = torch.cat(views).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = nt_xent(*model(images).chunk(2), 0.5)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()

    return _epochs(net, everything, learn, held, epoch)


def lightly(data: str):
    """Return the steps of lightly's example, an epoch at a time."""
    import torch
    from lightly.loss import NTXentLoss
    from lightly.transforms.simclr_transform import SimCLRTransform
    from PIL import Image

    everything, learn, held = _lists(data)
    files, transform = everything.files, SimCLRTransform(input_size=32, gaussian_blur=0.0, cj_strength=0.5)

    class Files(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(learn)

        def __getitem__(self, index: int):
            return transform(Image.open(files[learn[index]]).convert("RGB"))

    torch.manual_seed(0)
    net, model = _model()
    loader = torch.utils.data.DataLoader(Files(), BATCH, shuffle=True, drop_last=True, num_workers=2)
    criterion, optimizer = NTXentLoss(temperature=0.5), torch.optim.AdamW(model.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(loader))

    def epoch(number: int) -> None:
        model.train()
        for first, second in loader:
            loss = criterion(model(first), model(second))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()

    return _epochs(net, everything, learn, held, epoch)


def _model():
    import torch

    from ssl_cli.backbones.convnet import ConvNet
    from ssl_cli.methods.shared.heads import mlp

    net = ConvNet(3)
    return net, torch.nn.Sequential(net, mlp(net.dim, 256, 128, 2))
