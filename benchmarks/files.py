"""Images from a folder of JPEG files: the first pass, and every epoch after it."""

import time

from benchmarks.harness import Variant, median, ratio, take_turns
from benchmarks.images import folder

BATCH = 256
FIRST_PASS = (
    "The first pass reads, decodes and sums every file and writes the cache that later epochs and commands map; "
    "libjpeg-turbo decodes in both, on the same cores: here without Pillow around it."
)
COUNT = 20_000  # made-up images, where no folder is given
WORKERS = (0, 2)
LARGE_COUNT, LARGE = 600, (320, 256)  # made-up photos; width and height
CAMERA_COUNT, CAMERA = 256, (4000, 3000)  # as a camera takes them


def small(options) -> dict:
    """Measure images of 32 pixels: decoded once here, in every epoch by torchvision."""
    data = str(folder(options.data, COUNT))
    here = "benchmarks.files"
    variants = {
        "ssl, first pass": Variant(f"{here}:first_pass", {"data": data, "size": 32}),
        "ssl, later epochs": Variant(f"{here}:epoch", {"data": data}),
        "ssl, next command begins": Variant(f"{here}:next_command", {"data": data}),
    }
    loaders = {f"torchvision ImageFolder + DataLoader, {n} workers": n for n in WORKERS}
    variants |= {name: Variant(f"{here}:torchvision", {"data": data, "workers": n}) for name, n in loaders.items()}
    rounds = take_turns(variants, options.rounds, options.threads)
    best = min(loaders, key=lambda name: median(rounds[name], "us"))
    ratios = [
        {"label": f"{best} / ssl, {part}", **ratio(rounds[f"ssl, {part}"], rounds[best], "us"), "target": target}
        for part, target in (("later epochs", 20), ("first pass", 2))
    ]
    table = [[name, f"{median(rows, 'us'):.1f}", f"{1e6 / median(rows, 'us'):,.0f}"] for name, rows in rounds.items()]
    notes = [f"{int(rounds['ssl, first pass'][0]['images']):,} files; a round is one pass over all of them."]
    notes.append(FIRST_PASS)
    return {"ratios": ratios, "table": [["", "µs per image", "images/s"], *table], "notes": notes}


def large(options) -> dict:
    """Measure images of 224 pixels with two augmented views each."""
    data, here = str(folder(None, LARGE_COUNT, LARGE)), "benchmarks.files"
    variants = {
        "ssl, first pass (decode only)": Variant(f"{here}:first_pass", {"data": data, "size": 224}),
        "ssl, later epochs, two views": Variant(f"{here}:epoch", {"data": data, "views": True, "size": 224}),
    }
    loaders = {f"torchvision, two views, {n} workers": n for n in WORKERS}
    setting = {"data": data, "views": True}
    variants |= {name: Variant(f"{here}:torchvision", {**setting, "workers": n}) for name, n in loaders.items()}
    rounds = take_turns(variants, options.rounds, options.threads)
    best = min(loaders, key=lambda name: median(rounds[name], "us"))
    ours = "ssl, later epochs, two views"
    ratios = [{"label": f"{best} / {ours}", **ratio(rounds[ours], rounds[best], "us"), "target": None}]
    table = [[name, f"{1e6 / median(rows, 'us'):,.0f}"] for name, rows in rounds.items()]
    notes = [f"{LARGE_COUNT} JPEG files of {LARGE[0]} x {LARGE[1]} pixels, SimCLR's recipe (crop, flip, colour, grey)."]
    return {"ratios": ratios, "table": [["", "images/s"], *table], "notes": notes}


def camera(options) -> dict:
    """Measure photos of 12 megapixels, stored whole and seen as two crops of 224 pixels each."""
    data, here = str(folder(None, CAMERA_COUNT, CAMERA, distinct=16)), "benchmarks.files"
    whole, views = {"data": data, "size": 256, "whole": True}, {"views": True, "batch": 64}
    variants = {
        "ssl, first pass (decode only), whole": Variant(f"{here}:first_pass", whole),
        "ssl, first pass (decode only), squares": Variant(f"{here}:first_pass", {"data": data, "size": 224}),
        "ssl, later epochs, two views, whole": Variant(f"{here}:epoch", {**whole, **views}),
        "ssl, later epochs, two views, squares": Variant(f"{here}:epoch", {"data": data, "size": 224, **views}),
        "torchvision, two views, 2 workers": Variant(f"{here}:torchvision", {"data": data, "workers": 2, **views}),
    }
    rounds = take_turns(variants, options.rounds, options.threads)
    theirs, later = "torchvision, two views, 2 workers", "ssl, later epochs, two views, whole"
    ratios = [
        {"label": f"{theirs} / {ours}", **ratio(rounds[ours], rounds[theirs], "us"), "target": None}
        for ours in (later, "ssl, first pass (decode only), whole")
    ]
    table = [
        [name, f"{median(rows, 'us') / 1000:.1f}", f"{1e6 / median(rows, 'us'):,.0f}"] for name, rows in rounds.items()
    ]
    notes = [
        f"{CAMERA_COUNT} JPEG files of {CAMERA[0]} x {CAMERA[1]} pixels, SimCLR's recipe (crop, flip, colour, grey); "
        "`dataset.storage_size=256 dataset.keep_aspect=true pretext.size=224`, and squares of 224 pixels.",
        "libjpeg decodes such files at a fraction of their size for the store; torchvision's crops need all pixels.",
    ]
    return {"ratios": ratios, "table": [["", "ms per image", "images/s"], *table], "notes": notes}


def streaming(options) -> dict:
    """Show that a mapped file larger than the memory that is allowed streams through without growing."""
    rounds = take_turns({"ssl": Variant("benchmarks.files:mapped")}, options.rounds, options.threads)["ssl"]
    first, last = rounds[0], rounds[-1]
    table = [
        ["file, GiB", "data limit, MiB", "own memory at first, MiB", "at last, MiB", "images/s"],
        [
            f"{first['file']:.0f}",
            f"{first['limit']:.0f}",
            f"{first['anonymous']:.0f}",
            f"{last['anonymous']:.0f}",
            f"{median(rounds, 'rate'):,.0f}",
        ],
    ]
    notes = [
        "A sparse file of 150,528 bytes per image, batches of 64 at random, under `RLIMIT_DATA`: it cannot be read "
        "into memory. The pages of the file belong to the system, which takes them back when it needs them."
    ]
    return {"ratios": [], "table": table, "notes": notes}


def listing(data: str) -> tuple:
    """Return the folder and the names of its train images."""
    from pathlib import Path

    from ssl_cli.data.images.files.layout import list_images

    root = Path(data)
    names = [name for name, _, split in list_images(root, "auto", reading=2).entries if split == "train"]
    return root, names


def first_pass(data: str, size: int, whole: bool = False):
    """Return listing and decoding of all files."""
    import tempfile
    from pathlib import Path

    from ssl_cli.data.images.files import storage

    def once() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as cache:
            began = time.perf_counter()
            root, names = listing(data)
            storage.store(root, names, size, 3, cache_dir=Path(cache), whole=whole)
            seconds = time.perf_counter() - began
        return {"us": 1e6 * seconds / len(names), "images": len(names)}

    return once


def _loader(data: str, size: int, batch: int, whole: bool):
    import torch

    from ssl_cli.data.images.files import storage
    from ssl_cli.data.loader import Loader

    root, names = listing(data)
    images, *_ = storage.store(root, names, size, 3, whole=whole)
    positions, steps = torch.arange(len(images)), len(images) // batch
    setting = {"batch_size": batch, "steps_per_epoch": steps, "seed": 0, "device": torch.device("cpu")}
    return Loader(images, torch.zeros(len(images), dtype=torch.int64), positions, **setting)


def epoch(data: str, views: bool = False, size: int = 32, batch: int = BATCH, whole: bool = False):
    """Return an epoch of batches, with two augmented views where asked for."""
    from ssl_cli.system.memory import keep_freed_memory

    keep_freed_memory()
    import torch

    from benchmarks.harness import compose_run
    from ssl_cli.config.build import instantiate

    loader = _loader(data, size, batch, whole)
    augment = instantiate(compose_run("augment=simclr_small").augment)
    generator, epochs = torch.Generator().manual_seed(0), [0]

    def once() -> dict[str, float]:
        began = time.perf_counter()
        for step in range(loader.steps_per_epoch):
            images = loader.batch(epochs[0] * loader.steps_per_epoch + step).images
            for start in range(0, batch if views else 0, 64):
                augment(images[start : start + 64], (0.5,) * 3, (0.25,) * 3, generator, views=2, size=224)
        epochs[0] += 1
        return {"us": 1e6 * (time.perf_counter() - began) / (loader.steps_per_epoch * batch)}

    once()
    return once


def next_command(data: str):
    """Return what a second command does before it has its images: list, compare with the cache, read."""
    from ssl_cli.data.images.files import storage

    root, names = listing(data)
    storage.store(root, names, 32, 3)

    def once() -> dict[str, float]:
        began = time.perf_counter()
        root, names = listing(data)
        storage.store(root, names, 32, 3)
        return {"us": 1e6 * (time.perf_counter() - began) / len(names)}

    return once


def torchvision(data: str, workers: int, views: bool = False, batch: int = BATCH):
    """Return an epoch of torchvision's ImageFolder under a DataLoader."""
    import torch
    from torchvision import transforms as T
    from torchvision.datasets import ImageFolder

    jitter = T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8)
    normalize = T.Normalize((0.5,) * 3, (0.25,) * 3)
    view = T.Compose(
        [T.RandomResizedCrop(224), T.RandomHorizontalFlip(), jitter, T.RandomGrayscale(0.2), T.ToTensor(), normalize]
    )
    transform = (lambda image: (view(image), view(image))) if views else T.ToTensor()
    dataset = ImageFolder(f"{data}/train", transform)
    loader = torch.utils.data.DataLoader(dataset, batch, shuffle=True, num_workers=workers)

    def once() -> dict[str, float]:
        began = time.perf_counter()
        for _ in loader:
            pass
        return {"us": 1e6 * (time.perf_counter() - began) / len(dataset)}

    return once


def mapped():
    """Return 20 random batches of a mapped file of 8 GiB, with 1.5 GiB of data allowed."""
    import resource
    import tempfile
    from pathlib import Path

    import numpy as np
    import torch

    from ssl_cli.data.loader import Loader

    count, limit = (8 << 30) // (3 * 224 * 224), 1536 << 20
    with tempfile.NamedTemporaryFile(suffix=".raw") as file:  # its blocks go with the process
        file.truncate(count * 3 * 224 * 224)
        images = torch.from_numpy(np.memmap(file.name, np.uint8, "r+", shape=(count, 3, 224, 224)))
    setting = {"batch_size": 64, "steps_per_epoch": count // 64, "seed": 0, "device": torch.device("cpu")}
    loader = Loader(images, torch.zeros(count, dtype=torch.int64), torch.arange(count), **setting)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    steps = iter(range(10**9))

    def once() -> dict[str, float]:
        began = time.perf_counter()
        for _ in range(20):
            loader.batch(next(steps))
        rate = 20 * 64 / (time.perf_counter() - began)
        status = Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]
        return {"rate": rate, "anonymous": int(status) / 1024, "limit": limit / 2**20, "file": images.nbytes / 2**30}

    once()
    return once
