"""``ssl views``: draw what a pretext makes of real inputs, before any training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ssl_cli.config.compose import run_app
from ssl_cli.config.kinds import check_kinds, kind_of
from ssl_cli.config.paths import composed_from
from ssl_cli.data.budget import parse_budget
from ssl_cli.errors import UserError
from ssl_cli.runs.directory import RunDir

SIDE, GAP, HEAD = 96, 4, 22  # pixels: of an image in the picture, between them, of the line of headings
FONT = 13  # pixels


def main(args: Sequence[str]) -> int:
    """Compose the config and run the command. Returns the exit status."""
    return run_app("views", args, run)


def run(config: DictConfig) -> int:
    """Write a row an input, first as it is, then its views, then its pseudo-label. Returns 0.

    Pictures go to ``views.png``, texts to ``views.txt``; of inputs that move, an animation to ``moving.png``.
    """
    parse_budget(str(config.dataset.labels))
    directory = Path(HydraConfig.get().runtime.output_dir)
    if any("run.dir=" in item for item in HydraConfig.get().overrides.hydra):
        RunDir.check_free(directory)
    from ssl_cli.data.dataset import load
    from ssl_cli.data.describe import describe
    from ssl_cli.pretext.preview import drawn, played
    from ssl_cli.setup.parts import build_pretext
    from ssl_cli.system.terminal import shown

    choices = HydraConfig.get().runtime.choices
    parts, has = {key: config[key] for key in ("pretext", "augment")}, f"dataset={choices['dataset']} has"
    check_kinds(parts, kind_of(config.dataset), has, composed_from(), choices)
    data = load(OmegaConf.to_container(config.dataset, resolve=True), config.pretext.get("size"))
    info, _ = describe(data, config.dataset)
    if not len(data.splits["train"]):
        raise UserError(f"{data.name} has no train {data.noun} to draw")
    source = build_pretext(config, info), data, config.images, config.seed
    columns, answers = drawn(*source)
    directory.mkdir(parents=True, exist_ok=True)
    are_pictures = not isinstance(columns[data.noun], list)
    file = directory / ("views.png" if are_pictures else "views.txt")
    if are_pictures:
        picture(columns, answers).save(file)
    else:
        file.write_text(text := lines(columns, answers), encoding="utf-8")
        print(text)
    count = min(config.images, len(data.splits["train"]))
    print(f"{count} {data.noun}s of {data.name}: each as it is, then {', '.join(list(columns)[1:])}")
    print(f"{'picture' if are_pictures else 'text'}: {shown(file)}")
    moments = [picture(each, answers) for each in played(*source)]
    if len(moments) > 1:
        file = directory / "moving.png"  # an animated PNG: any browser plays it, and no pixel is another
        duration = min(round(1000 / data.fps), 65535)  # milliseconds, at most what a PNG can hold
        moments[0].save(file, save_all=True, append_images=moments[1:], duration=duration, loop=0)
        print(f"moving: {shown(file)}")
    return 0


def lines(columns: dict[str, Sequence[str]], answers: Sequence[str]) -> str:
    """Return columns of texts as paragraphs: of each row what the headings say, then its answer."""
    rows = zip(*columns.values(), answers or [""] * len(next(iter(columns.values()))), strict=True)
    paragraphs = [
        [*(f"{heading}: {text}" for heading, text in zip(columns, row, strict=False)), *filter(None, row[-1:])]
        for row in rows
    ]
    return "\n\n".join("\n".join(paragraph) for paragraph in paragraphs) + "\n"


def picture(columns: dict[str, Any], answers: list[str]) -> Any:
    """Return columns of images [n, C, h, w] in [0, 1] as one picture: headings above, the answers beside the rows."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(FONT)
    rows = len(next(iter(columns.values())))
    beside = max((round(font.getlength(text)) + 3 * GAP for text in answers), default=-GAP)
    widths = [round(SIDE * images.shape[3] / images.shape[2]) for images in columns.values()]  # a strip is wide
    canvas = Image.new("RGB", (sum(widths) + len(widths) * GAP + beside, HEAD + rows * (SIDE + GAP) - GAP), "white")
    draw = ImageDraw.Draw(canvas)
    left = 0
    for width, (heading, images) in zip(widths, columns.items(), strict=True):
        draw.text((left + width // 2, HEAD // 2), heading, fill="black", font=font, anchor="mm")
        for y, image in enumerate(images):
            pixels = image.mul(255).round().byte().expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
            tile = Image.fromarray(pixels).resize((width, SIDE), Image.Resampling.NEAREST)
            canvas.paste(tile, (left, HEAD + y * (SIDE + GAP)))
        left += width + GAP
    for y, text in enumerate(answers):
        middle = HEAD + y * (SIDE + GAP) + SIDE // 2
        draw.text((left + GAP, middle), text, fill="black", font=font, anchor="lm")
    return canvas
