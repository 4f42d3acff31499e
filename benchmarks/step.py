"""A whole training step of SimCLR, batch 256, 32x32 images: images, augmentation, model, loss, optimizer."""

import time
from collections.abc import Callable
from functools import partial

from benchmarks.harness import Variant, median, ratio, take_turns
from benchmarks.images import folder
from benchmarks.peers import Missing, python_with, version_of

BATCH = 256
TARGETS = {("convnet", "fp32"): 4.5, ("convnet", "bf16"): 2.7, ("resnet18", "fp32"): 3.2, ("resnet18", "bf16"): 1.4}
MEMORY_TARGET = 1 / 0.6
MEMORY_NOTE = (
    "Memory of ssl: {empty:.0f} MiB are a process that has imported torch, {kept:.0f} MiB are what forward made and "
    "backward needs. The network and the batch decide on both, whichever library calls them; to compute parts of "
    "forward twice would need less, and ssl does not. It keeps what it has freed for the next step; "
    "`trainer.keep_memory=false` gives it back."
)
WORKERS = {"convnet": (0, 2), "resnet18": (2,)}  # of the peer's DataLoader; beside a resnet18 they do not matter


def measure(options, backbone: str) -> dict:
    """Measure the row for one backbone; see `benchmarks.__main__`."""
    data, here = str(folder(options.data, 10_000)), "benchmarks.step"
    steps = 3 if backbone == "convnet" else 1
    shared = {"backbone": backbone, "data": data, "steps": steps}
    variants, notes = {"ssl": Variant(f"{here}:ours", shared)}, []
    peers = {}
    try:
        python = python_with("lightly")
        version = version_of("lightly", python)
        for precision in ("fp32", *(["bf16"] if options.bf16 else [])):
            for workers in WORKERS[backbone]:
                name = f"lightly {version}, {precision}, {workers} workers"
                peers[name] = precision
                setting = {**shared, "precision": precision, "workers": workers}
                variants[name] = Variant(f"{here}:lightly", setting, python)
    except Missing as error:
        notes.append(f"lightly: skipped, {error}")
    if not options.bf16:
        notes.append("This processor has no bf16 arithmetic, so all are in fp32 and there is no row with bf16.")
    rounds = take_turns(variants, options.rounds, options.threads)
    ratios = []
    for precision in ("fp32", "bf16"):
        names = [name for name in peers if peers[name] == precision]
        if names:
            best = min(names, key=lambda name: median(rounds[name], "seconds"))
            target = TARGETS[backbone, precision]
            ratios.append({"label": f"{best} / ssl", **ratio(rounds["ssl"], rounds[best], "seconds"), "target": target})
            if backbone == "convnet" and precision == "fp32":
                memory = ratio(rounds["ssl"], rounds[best], "memory")
                ratios.append({"label": "memory, the same two", **memory, "target": MEMORY_TARGET})
    waiting = median(rounds["ssl"], "waiting")
    ratios.append({"label": "ssl: share of a step spent waiting for images", "share": waiting, "target": 0.05})
    table = [["", "seconds a step", "images/s", "memory of all processes, MiB"]]
    for name, rows in rounds.items():
        seconds = median(rows, "seconds")
        table.append([name, f"{seconds:.3f}", f"{BATCH / seconds:.0f}", f"{median(rows, 'memory'):.0f}"])
    parts = {key: median(rounds["ssl"], key) for key in ("data", "augment", "forward", "backward", "optimizer")}
    total = sum(parts.values())
    if any(entry["label"].startswith("memory") and entry["ratio"] < MEMORY_TARGET for entry in ratios):
        notes.append(MEMORY_NOTE.format(kept=median(rounds["ssl"], "kept"), empty=median(rounds["ssl"], "empty")))
    model = parts["forward"] + parts["backward"] + parts["optimizer"]
    for entry in ratios:
        if entry["label"].endswith("/ ssl") and entry["ratio"] < entry["target"]:
            most = entry["ratio"] * total / model
            notes.append(
                f"{entry['label']}: were images and augmentation free, it would be {most:.2f}: the rest is forward, "
                "backward and optimizer, where both call the same convolutions; what shortens those is bf16, where a "
                "processor has it."
            )
    notes.append("Where ssl's step goes: " + ", ".join(f"{key} {value / total:.1%}" for key, value in parts.items()))
    return {"ratios": ratios, "table": table, "notes": notes}


convnet = partial(measure, backbone="convnet")
resnet18 = partial(measure, backbone="resnet18")


def ours(backbone: str, data: str, steps: int):
    """Return the trainer's step on the parts that `ssl train` builds."""
    from ssl_cli.system.memory import keep_freed_memory

    keep_freed_memory()
    import torch

    from benchmarks.harness import compose_run, family_memory
    from ssl_cli.setup.prepare import prepare
    from ssl_cli.training.stopwatch import Stopwatch

    empty = family_memory()
    root = ["dataset=folder", f"dataset.root={data}", "dataset.storage_size=32"]
    e = prepare(compose_run("method=simclr", *root, f"backbone={backbone}", f"trainer.batch_size={BATCH}"))
    generator = torch.Generator()
    done = [0]

    def step(watch: Stopwatch) -> None:
        generator.manual_seed(done[0])
        with watch.part("data"):
            batch = e.loader.batch(done[0])
        with watch.part("augment"):
            task = e.pretext(batch, generator)
            task.views = [view.contiguous(memory_format=torch.channels_last) for view in task.views]
        bf16 = torch.autocast(e.device.type, torch.bfloat16, enabled=e.precision == torch.bfloat16)
        with watch.part("forward"), bf16:
            loss = e.method(task)["loss"]
        with watch.part("backward"):
            loss.backward()
        with watch.part("optimizer"):
            e.optimizer.step()
            e.optimizer.zero_grad(set_to_none=True)
        done[0] += 1

    def once() -> dict[str, float]:
        watch = Stopwatch(e.device)
        began = time.perf_counter()
        for _ in range(steps):
            step(watch)
        seconds = (time.perf_counter() - began) / steps
        parts = {name: total / steps for name, total in watch.seconds.items()}
        memory = {"memory": family_memory(), "empty": empty, "kept": kept}
        return {"seconds": seconds, "waiting": parts["data"] / seconds, **memory, **parts}

    e.method.train()
    kept = kept_for_backward(lambda: step(Stopwatch(e.device)))
    once()
    return once


def kept_for_backward(step: Callable[[], None]) -> float:
    """Return the MiB of the tensors that a step keeps from forward to backward, each memory once."""
    import torch

    sizes: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        step()
    return sum(sizes.values()) / 2**20


def lightly(backbone: str, data: str, steps: int, precision: str, workers: int):
    """Return the step of lightly's SimCLR example (its transform, head, loss and optimizer) on the same backbone."""
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms.simclr_transform import SimCLRTransform
    from torchvision.datasets import ImageFolder

    from benchmarks.harness import family_memory
    from ssl_cli.backbones.convnet import ConvNet
    from ssl_cli.backbones.resnet import ResNet

    net = ConvNet(3) if backbone == "convnet" else ResNet(3, "resnet18", "cifar")
    model = torch.nn.Sequential(net, SimCLRProjectionHead(net.dim, 256, 128))
    dataset = ImageFolder(f"{data}/train", transform=SimCLRTransform(input_size=32, gaussian_blur=0.0))
    loader = torch.utils.data.DataLoader(dataset, BATCH, shuffle=True, drop_last=True, num_workers=workers)
    criterion, optimizer = NTXentLoss(), torch.optim.SGD(model.parameters(), lr=0.06)

    def forever():
        while True:
            yield from loader

    batches = forever()

    def step() -> None:
        (first, second), _ = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = criterion(model(first), model(second))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def once() -> dict[str, float]:
        began = time.perf_counter()
        for _ in range(steps):
            step()
        return {"seconds": (time.perf_counter() - began) / steps, "memory": family_memory()}

    model.train()
    once()
    return once
