"""Two views of 32x32 images by SimCLR's recipe: batched here, image by image elsewhere."""

import time

from benchmarks.harness import Variant, median, ratio, take_turns
from benchmarks.peers import Missing, python_with

BATCH = 256
PER_SAMPLE = 64  # images a round of the pipelines that work image by image


def measure(options) -> dict:
    """Measure the row; see `benchmarks.__main__`."""
    here = "benchmarks.augmentation"
    variants = {
        "ssl": Variant(f"{here}:ours", {"threads": options.threads}),
        "ssl, 1 thread": Variant(f"{here}:ours", {"threads": 1}),
        "torchvision on PIL": Variant(f"{here}:torchvision_pipeline"),
    }
    notes = ["Pipelines that work image by image run in one process, as one worker of a DataLoader does."]
    try:
        variants["lightly SimCLRTransform"] = Variant(f"{here}:lightly_pipeline", python=python_with("lightly"))
    except Missing as error:
        notes.append(f"lightly: skipped, {error}")
    rounds = take_turns(variants, options.rounds, options.threads)
    ratios = [
        {"label": f"{name} / {own}", **ratio(rounds[own], rounds[name], "us"), "target": target}
        for own, target in (("ssl", 10), ("ssl, 1 thread", None))
        for name in variants
        if not name.startswith("ssl")
    ]
    table = [[name, f"{median(rows, 'us'):.0f}"] for name, rows in rounds.items()]
    return {"ratios": ratios, "table": [["", "µs per image, two views"], *table], "notes": notes}


def ours(threads: int):
    """Return the batched pipeline."""
    from ssl_cli.system.memory import keep_freed_memory

    keep_freed_memory()
    import torch

    from benchmarks.harness import compose_run
    from ssl_cli.config.build import instantiate

    torch.set_num_threads(threads)
    augment = instantiate(compose_run("augment=simclr_small").augment)
    images = torch.randint(0, 256, (BATCH, 3, 32, 32), dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)

    def once() -> dict[str, float]:
        began = time.perf_counter()
        augment(images, (0.5,) * 3, (0.25,) * 3, generator, views=2)
        return {"us": 1e6 * (time.perf_counter() - began) / BATCH}

    return _warm(lambda: min((once() for _ in range(3)), key=lambda row: row["us"]))


def torchvision_pipeline():
    """Return torchvision's transforms on PIL images."""
    from torchvision import transforms as T

    jitter = T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8)
    normalize = T.Normalize((0.5,) * 3, (0.25,) * 3)
    view = T.Compose(
        [T.RandomResizedCrop(32), T.RandomHorizontalFlip(), jitter, T.RandomGrayscale(0.2), T.ToTensor(), normalize]
    )
    return _per_sample(lambda image: (view(image), view(image)))


def lightly_pipeline():
    """Return lightly's transform, as in its CIFAR-10 example: the same operations, without blur."""
    from lightly.transforms.simclr_transform import SimCLRTransform

    return _per_sample(SimCLRTransform(input_size=32, cj_strength=0.5, gaussian_blur=0.0))


def _per_sample(transform):
    import numpy as np
    import torch
    from PIL import Image

    torch.set_num_threads(1)
    pixels = np.random.default_rng(0).integers(0, 256, (PER_SAMPLE, 32, 32, 3), dtype=np.uint8)
    images = [Image.fromarray(image) for image in pixels]

    def once() -> dict[str, float]:
        began = time.perf_counter()
        for image in images:
            transform(image)
        return {"us": 1e6 * (time.perf_counter() - began) / PER_SAMPLE}

    return _warm(lambda: min((once() for _ in range(3)), key=lambda row: row["us"]))


def _warm(once):
    once()
    return once
