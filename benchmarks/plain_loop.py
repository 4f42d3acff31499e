"""SimCLR as one writes it by hand: torchvision's network, its v2 transforms, a DataLoader, autocast. No `ssl` in it."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PHOTOS = 512  # made-up JPEG files of 256 pixels, where the views have 224


def measure(options: argparse.Namespace, backbone: str, batch: int, kind: str, side: int) -> dict[str, Any]:
    """Return seconds a step and images a second.

    Args:
        options: of `benchmarks.gpu`.
        backbone: a name in torchvision.models.
        batch: images a step, of two views each.
        kind: ``v2 on the device`` (a batch at a time, one draw for all its images: v2 knows no other way) or ``v2 in
            workers`` (an image at a time, in 16 processes, from JPEG files).
        side: of the views, in pixels.
    """
    import torch

    device = torch.device(options.device)
    step = build_step(backbone, side, device)
    steps, rounds = (2, 1) if options.tiny else (10 if side <= 32 else 4, 3)
    with tempfile.TemporaryDirectory() as scratch:
        root = options.data / "train" if side <= 32 else photos(Path(scratch))
        views = on_device(batch, side, device) if kind == "v2 on the device" else in_workers(root, batch, side, options)

        def seconds(count: int) -> float:
            if device.type == "cuda":
                torch.cuda.synchronize()
            began = time.perf_counter()
            for _ in range(count):
                first, second = next(views)
                step(torch.cat([first, second]).to(device, non_blocking=True))
            if device.type == "cuda":
                torch.cuda.synchronize()
            return (time.perf_counter() - began) / count

        seconds(1 if options.tiny else 8)
        measured = statistics.median(seconds(steps) for _ in range(rounds))
        views.close()
    return {"seconds": measured, "images_per_second": batch / measured}


def build_step(backbone: str, side: int, device: Any) -> Callable:
    """Return the step: forward, InfoNCE over the batch, backward, SGD."""
    import torch
    import torchvision
    from torch import nn
    from torch.nn import functional as F

    net = getattr(torchvision.models, backbone)(weights=None)
    width, net.fc = net.fc.in_features, nn.Identity()
    if side <= 32:
        net.conv1, net.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 128))
    model = nn.Sequential(net, head).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)

    def step(views: Any) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            z = F.normalize(model(views.contiguous(memory_format=torch.channels_last)).float())
            similarity = (z @ z.T / 0.2).fill_diagonal_(float("-inf"))
            partner = torch.arange(len(z), device=device).roll(len(z) // 2)
            loss = F.cross_entropy(similarity, partner)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    model.train()
    return step


def recipe(side: int, decode: bool) -> Any:
    """Return SimCLR's transform, of v2."""
    import torch
    from torchvision.transforms import v2

    jitter = v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8)
    blur = v2.RandomApply([v2.GaussianBlur(side // 10 * 2 + 1, (0.1, 2.0))], 0.5)
    first = [v2.ToImage()] if decode else []
    crop, grey = v2.RandomResizedCrop(side, antialias=True), v2.RandomGrayscale(0.2)
    float32 = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)]
    return v2.Compose([*first, crop, v2.RandomHorizontalFlip(), jitter, grey, blur, *float32])


def on_device(batch: int, side: int, device: Any) -> Iterator[tuple]:
    """Yield two views of batches that are on the device already."""
    import torch

    images = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8, device=device)
    change = recipe(side, decode=False)
    while True:
        yield change(images), change(images)


def in_workers(root: Path, batch: int, side: int, options: argparse.Namespace) -> Iterator[tuple]:
    """Yield two views of batches that 16 processes read and change."""
    from torch.utils.data import DataLoader, RandomSampler
    from torchvision.datasets import ImageFolder

    change = recipe(side, decode=True)
    data = ImageFolder(str(root), transform=Twice(change))
    workers = 2 if options.tiny else 16
    pinned = options.device == "cuda"
    order = RandomSampler(data, replacement=True, num_samples=1_000 * batch)  # no epoch ends while it is timed
    loader = DataLoader(data, batch, sampler=order, num_workers=workers, pin_memory=pinned)
    yield from (views for views, _ in loader)


class Twice:
    """Two draws of one transform."""

    def __init__(self, change: Any):
        self.change = change

    def __call__(self, image: Any) -> tuple:
        """Return two views of an image."""
        return self.change(image), self.change(image)


def photos(root: Path) -> Path:
    """Write made-up photos: smooth fields of colour with some noise, JPEG of quality 90, in one class."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    (root / "photos").mkdir()
    for number in range(PHOTOS):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((256, 256), Image.BICUBIC)
        noisy = np.asarray(coarse).astype(np.int16) + rng.integers(-12, 13, (256, 256, 3), dtype=np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(root / "photos" / f"{number}.jpg", quality=90)
    return root
