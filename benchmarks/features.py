"""Features of photos: as probes compute them, against timm's own network in a plain loop over a DataLoader."""

import os
import time

from benchmarks.harness import Variant, median, ratio, take_turns
from benchmarks.images import folder

NETWORKS = ("resnet50", "tf_efficientnet_lite0", "vit_small_patch16_224")
COUNT, SIZE = 128, (500, 375)  # photos; width and height
BATCH = 64  # of the plain loop
SIDE = 2048  # of the matrices whose product is the machine's peak
PARTS = {
    "files": "first pass over files",
    "network": "network alone",
    "processor": "processor time of the first pass",
}


def measure(options) -> dict:
    """Measure each network, from files and alone."""
    here, ratios, table = "benchmarks.features", [], []
    data = str(folder(None, COUNT, SIZE))
    for name in NETWORKS:
        setting = {"name": name, "data": data}
        variants = {
            "ssl": Variant(f"{here}:ours", setting),
            "plain loop": Variant(f"{here}:plain", {**setting, "workers": options.threads}),
        }
        rounds = take_turns(variants, options.rounds, options.threads)
        ours, theirs = rounds.values()
        for key, what in PARTS.items():
            label = f"timm in a plain loop / ssl, `{name}`, {what}"
            ratios.append({"label": label, **ratio(ours, theirs, key), "target": 2})
        peak = median(ours, "peak")
        for side, of in rounds.items():
            rates = [1 / median(of, key) for key in ("files", "network")]
            share = rates[1] * ours[0]["operations"] / peak
            decoding = f"{median(of, 'decode') / median(of, 'files'):.0%}" if side == "ssl" else ""
            error = f"{of[0]['error']:.0e}" if side == "ssl" else ""
            table.append([f"`{name}`, {side}", *(f"{rate:.1f}" for rate in rates), decoding, f"{share:.0%}", error])
    head = ["", "images/s from files", "images/s, network alone", "files: share of decoding", "share of peak", "error"]
    return {"ratios": ratios, "table": [head, *table], "notes": _notes()}


def _notes() -> list[str]:
    return [
        f"{COUNT} made-up JPEG files of {SIZE[0]} x {SIZE[1]} pixels, seen at 224. Random weights: they cost the same.",
        "The plain loop: `timm.create_model(...).eval()`, `torch.no_grad()`, `ImageFolder` with timm's own transform, "
        f"a `DataLoader` with a worker per core, batches of {BATCH}.",
        "ssl: `storage.store` and `FrozenModel`, as `ssl probe` calls them. Later commands map the decoded files and "
        "read kept features: they pay nothing of this.",
        f"Peak: a product of two {SIDE} x {SIDE} matrices, fp32, measured in every round. Error: largest difference "
        "from timm's network on the same pixels, as a share of the largest feature.",
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


def plain(name: str, data: str, workers: int):
    """Return timm's network in the usual loop."""
    import timm
    import torch
    from torchvision.datasets import ImageFolder

    net = _network(name)
    transform = timm.data.create_transform(**timm.data.resolve_data_config(model=net), is_training=False)
    loader = torch.utils.data.DataLoader(ImageFolder(f"{data}/train", transform), BATCH, num_workers=workers)
    images = torch.randn(BATCH, 3, 224, 224)

    def once() -> dict[str, float]:
        began, before = time.perf_counter(), processor()
        with torch.no_grad():
            torch.cat([net(batch) for batch, _ in loader])
            between, spent = time.perf_counter(), processor() - before
            net(images)
            end = time.perf_counter()
        return {"files": (between - began) / COUNT, "network": (end - between) / BATCH, "processor": spent / COUNT}

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
            times, before = [time.perf_counter()], processor()
            root, names = listing(data)
            images, *_ = storage.store(root, names, 224, 3, cache_dir=Path(cache))
            times.append(time.perf_counter())
            features = FrozenModel(backbone, images, info, device)(torch.arange(len(images)))
            times.append(time.perf_counter())
            spent = processor() - before
            with torch.no_grad():
                expected = backbone.net(info.to_input(images[:8]))
        decode, network = times[1] - times[0], times[2] - times[1]
        return {
            "files": (decode + network) / COUNT,
            "network": network / COUNT,
            "processor": spent / COUNT,
            "decode": decode / COUNT,
            "operations": operations,
            "peak": 2 * SIDE**3 / min(_seconds(lambda: x @ x) for _ in range(5)),
            "error": ((features[:8] - expected).abs().max() / expected.abs().max()).item(),
        }

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        backbone.net(torch.zeros(1, 3, 224, 224))
    operations = counter.get_total_flops()
    return once


def processor() -> float:
    """Return the seconds that this process and its ended children have computed: other work counts little."""
    return sum(os.times()[:4])


def _seconds(once) -> float:
    began = time.perf_counter()
    once()
    return time.perf_counter() - began
