"""``ssl views``: draw what a pretext makes of real images, before any training."""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ssl_cli.data.budget import parse_budget
from ssl_cli.errors import UserError
from ssl_cli.rundir import RunDir

SIDE, GAP, TEXT = 96, 4, 110  # pixels: of an image in the picture, between them, for what is written beside a row


def run(config: DictConfig) -> int:
    """Write ``views.png``: a row an image, first as it is, then its views, then its pseudo-label. Returns 0."""
    parse_budget(str(config.dataset.labels))
    directory = Path(HydraConfig.get().runtime.output_dir)
    if any("run.dir=" in item for item in HydraConfig.get().overrides.hydra):
        RunDir.check_free(directory)
    from ssl_cli.commands.train import shown

    rows, texts = drawn(config)
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "views.png"
    picture(rows, texts).save(file)
    print(f"{len(rows)} images of {config.dataset['_target_'].split('.')[-2]}: each as it is, then its views")
    print(f"picture: {shown(file)}")
    return 0


def drawn(config: DictConfig) -> tuple[list[list[Any]], list[str]]:
    """Return for each row the images [C, h, w] in [0, 1], the original first, and what its pseudo-label is."""
    import torch

    from ssl_cli.batch import Batch
    from ssl_cli.data.load import load
    from ssl_cli.setup import build_pretext, describe

    data = load(OmegaConf.to_container(config.dataset, resolve=True))
    info, _ = describe(data, config.dataset)
    train = data.splits["train"]
    if not len(train):
        raise UserError(f"{data.name} has no train image to draw")
    generator = torch.Generator().manual_seed(config.seed)
    at = train[torch.randperm(len(train), generator=generator)[: config.images]]
    task = build_pretext(config, info)(Batch(data.images[at], data.labels[at], at), generator)
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (info.mean, info.std))
    repeats = len(task.views[0]) // len(at)  # all four rotations, say
    rows, texts = [], []
    for row in range(len(task.views[0])):
        originals = [data.images[at[row // repeats]].float() / 255]
        views = [(view[row] * std + mean).clamp(0, 1) for view in task.views]
        if task.masks is not None and task.targets is None:  # a method hides them, not the pretext
            mask = task.masks[row].repeat_interleave(info.image_size // task.masks.shape[1], 0)
            views.append(views[0] * ~mask.repeat_interleave(info.image_size // task.masks.shape[2], 1))
        rows.append(originals + views)
        pseudo = task.targets is not None and task.targets.ndim == 1
        texts.append(f"label {task.targets[row].item()}" if pseudo else "")
    return rows, texts


def picture(rows: list[list[Any]], texts: list[str]) -> Any:
    """Return rows of images [C, h, w] in [0, 1] as one picture, each enlarged to the same side, with a text beside."""
    from PIL import Image, ImageDraw

    width = max(len(row) for row in rows) * (SIDE + GAP) + (TEXT if any(texts) else 0)
    canvas = Image.new("RGB", (width, len(rows) * (SIDE + GAP) - GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for y, (row, text) in enumerate(zip(rows, texts, strict=True)):
        for x, image in enumerate(row):
            pixels = image.mul(255).round().byte().expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
            tile = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.NEAREST)
            canvas.paste(tile, (x * (SIDE + GAP), y * (SIDE + GAP)))
        draw.text((len(row) * (SIDE + GAP) + GAP, y * (SIDE + GAP) + SIDE // 2 - 6), text, fill="black")
    return canvas
