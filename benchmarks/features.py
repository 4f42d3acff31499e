"""Features of photos: as probes compute them, against timm's own network in a plain loop over a DataLoader."""

import os
import time

from benchmarks.harness import Variant, median, ratio, take_turns
from benchmarks.images import folder

NETWORKS = ("resnet50", "tf_efficientnet_lite0", "vit_small_patch16_224")
COUNT, SIZE = 64, (500, 375)  # photos; width and height
BATCH = 64  # of the plain loop
SIDE = 2048  # of the matrices whose product is the machine's peak
PARTS = {"files": "first pass over files", "network": "network alone"}


def measure(options) -> dict:
    """Measure each network, from files and alone, by the processor time of one thread."""
    here, ratios, table = "benchmarks.features", [], []
    data = str(folder(None, COUNT, SIZE))
    for name in NETWORKS:
        setting = {"name": name, "data": data}
        variants = {"ssl": Variant(f"{here}:ours", setting), "plain loop": Variant(f"{here}:plain", setting)}
        rounds = take_turns(variants, options.rounds, threads=1)
        ours, theirs = rounds.values()
        for key, what in PARTS.items():
            label = f"timm in a plain loop / ssl, `{name}`, {what}"
            ratios.append({"label": label, **ratio(ours, theirs, key), "target": 2})
        for side, of in rounds.items():
            files, network = (median(of, key) for key in PARTS)
            share = median(ours, "product") * ours[0]["operations"] / network
            error = f"{of[0]['error']:.0e}" if side == "ssl" else ""
            rates = f"{1 / files:.1f}", f"{1 / network:.1f}"
            table.append([f"{name}, {side}", *rates, f"{1 - network / files:.0%}", f"{share:.0%}", error])
    head = ["", "images/s from files", "images/s, network alone", "files: share of reading", "share of peak", "error"]
    return {"ratios": ratios, "table": [head, *table], "notes": _notes()}


def _notes() -> list[str]:
    return [
        f"{COUNT} made-up JPEG files of {SIZE[0]} x {SIZE[1]} pixels, seen at 224. Weights are random: values do not "
        "change the time.",
        "Seconds are processor time of one thread and of all processes, so other work on the machine counts little.",
        "The plain loop: `timm.create_model(...).eval()`, `torch.no_grad()`, `ImageFolder` with timm's own transform, "
        f"a `DataLoader` with a worker, batches of {BATCH}.",
        "ssl: `storage.store` and `FrozenModel`, as `ssl probe` calls them. Later commands map the decoded files and "
        "read kept features: they pay nothing of this.",
        f"Peak: a product of two {SIDE} x {SIDE} matrices, fp32, measured in every round. Error: largest difference "
        "from timm's network on the same pixels, as a share of the largest feature.",
        "Both sides do the same fp32 arithmetic: at most about 1 / (the plain loop's share of peak) is possible.",
    ]


def _network(name: str):
    """Return timm's network with random weights and BatchNorms that are not the identity."""
    import timm
    import torch

    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=0).eval()
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1), part.running_var.uniform_(0.5, 2)
    return net


def plain(name: str, data: str):
    """Return timm's network in the usual loop."""
    import timm
    import torch
    from torchvision.datasets import ImageFolder

    net = _network(name)
    transform = timm.data.create_transform(**timm.data.resolve_data_config(model=net), is_training=False)
    loader = torch.utils.data.DataLoader(ImageFolder(f"{data}/train", transform), BATCH, num_workers=1)

    def once() -> dict[str, float]:
        before, network = _everybody(), 0.0
        with torch.no_grad():
            for images, _ in loader:
                began = time.process_time()
                net(images)
                network += time.process_time() - began
        return {"files": (_everybody() - before) / COUNT, "network": network / COUNT}

    return once


def ours(name: str, data: str):
    """Return the features as probes have them, of files that no command has seen yet."""
    from ssl_cli.system.memory import keep_freed_memory

    keep_freed_memory()
    import tempfile
    from pathlib import Path

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.files import listing
    from ssl_cli.backbones.timm import Timm
    from ssl_cli.data.images.files import storage
    from ssl_cli.data.images.info import ImageInfo
    from ssl_cli.probes.frozen.subject import FrozenModel

    info, device = ImageInfo("photos", 3, 224, (), COUNT, COUNT, 0, (0.5,) * 3, (0.25,) * 3), torch.device("cpu")
    backbone = Timm(3, 224, name).eval()
    backbone.net.load_state_dict(_network(name).state_dict())
    x = torch.randn(SIDE, SIDE)

    def once() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as cache:
            before = _everybody()
            root, names = listing(data)
            images, *_ = storage.store(root, names, 224, 3, cache_dir=Path(cache))
            between = _everybody()
            features = FrozenModel(backbone, images, info, device)(torch.arange(len(images)))
            after = _everybody()
            with torch.no_grad():
                expected = backbone.net(info.to_input(images[:8]))
        return {
            "files": (after - before) / COUNT,
            "network": (after - between) / COUNT,
            "operations": operations,
            "product": min(_seconds(lambda: x @ x) for _ in range(5)) / (2 * SIDE**3),  # seconds an operation
            "error": ((features[:8] - expected).abs().max() / expected.abs().max()).item(),
        }

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        backbone.net(torch.zeros(1, 3, 224, 224))
    operations = counter.get_total_flops()
    return once


def _everybody() -> float:
    """Return the processor time of this process and of its children that have ended, in seconds."""
    return sum(os.times()[:4])


def _seconds(once) -> float:
    began = time.process_time()
    once()
    return time.process_time() - began
