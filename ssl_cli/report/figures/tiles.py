"""Images in rows as a figure: with headings, and with words under or beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssl_cli.report.figures import style
from ssl_cli.system.names import plain

SMALLEST, LARGEST = 64, 128  # sides of a picture on a page, in pixels


@dataclass
class Shown:
    """One input on a page; its texts are plain."""

    picture: Any  # markup, or a text
    name: str
    note: str  # what is known of it, or ""


def pixels(image: Any) -> np.ndarray:
    """Return an image [C, h, w] (uint8, or float in [0, 1]) as [h, w, 3] uint8."""
    array = np.asarray(image)
    if array.dtype != np.uint8:
        array = np.round(np.clip(np.nan_to_num(array), 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(array, (3, *array.shape[1:])).transpose(1, 2, 0))


def tile_figure(
    rows: Sequence[Sequence[Any]],
    headings: Sequence[str] = (),
    under: Sequence[Sequence[tuple[str, str]]] = (),
    beside: Sequence[str] = (),
) -> Any:
    """Return a figure of images in rows.

    Args:
        rows: of images [C, h, w], of one shape in each column; each is enlarged without smoothing.
        headings: over the columns.
        under: for each image its (text, colour); a text is cut to the width of the image.
        beside: for each row a text to the right of it.
    """
    from matplotlib.figure import Figure

    columns = max(len(row) for row in rows)
    gap, words = 0.06, 0.38 if under else 0.0  # in heights of an image
    wide = [image.shape[2] / image.shape[1] for image in max(rows, key=len)]
    lefts = [sum(wide[:x]) + x * gap for x in range(columns + 1)]
    right = 0.30 * max((len(text) for text in beside), default=0) if columns <= 4 else 1.6 * bool(beside)
    width, pitch = lefts[-1] + right, 1 + gap + words
    head = 0.35 if headings else 0.0
    height = head + len(rows) * pitch
    inch = min(style.WIDTH / width, 0.8)  # of an image's height
    figure = Figure(figsize=(width * inch, height * inch))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    letters = max(4, int(inch * 72 / 5.2))  # that fit under an image, at 8.5 points
    for y, row in enumerate(rows):
        top = head + y * pitch
        for x, image in enumerate(row):
            left, end = lefts[x], lefts[x] + wide[x]
            axes.imshow(pixels(image), extent=(left, end, top + 1, top), interpolation="none", aspect="auto")
            if under:
                text, colour = under[y][x]
                axes.text(
                    (left + end) / 2,
                    top + 1.05,
                    plain(text, letters),
                    ha="center",
                    va="top",
                    fontsize=8.5,
                    color=colour,
                )
        if beside:
            axes.text(lefts[-1] + 0.1, top + 0.5, plain(beside[y], 24), va="center", fontsize=8.5)
    for x, heading in enumerate(headings):
        size = 8.5 if columns <= 4 else 7.5
        axes.text(lefts[x] + wide[x] / 2, head / 2, plain(heading, 14), ha="center", va="center", fontsize=size)
    axes.set(xlim=(0, width), ylim=(height, 0))
    return figure


def sprite(images: Sequence[Any], side: int) -> tuple[str, int]:
    """Return images [C, h, w] as one picture of ``side``-pixel squares, as a data URI, and how many stand in a row."""
    import io

    from PIL import Image

    columns = 25
    canvas = Image.new("RGB", (columns * side, -(-len(images) // columns) * side))
    for i, image in enumerate(images):
        small = Image.fromarray(pixels(image))
        if small.width != side:
            enlarge = Image.Resampling.NEAREST if small.width < side else Image.Resampling.LANCZOS
            small = small.resize((side, side), enlarge)
        canvas.paste(small, (i % columns * side, i // columns * side))
    grey = all(np.asarray(image).shape[0] == 1 for image in images)
    buffer = io.BytesIO()
    canvas.convert("L" if grey else "RGB").save(buffer, "PNG" if grey else "JPEG", **({} if grey else {"quality": 88}))
    return data_uri(buffer.getvalue(), "png" if grey else "jpeg"), columns


def tile(image: Any, name: str) -> Any:
    """Return the markup of one image [C, h, w], enlarged without smoothing or reduced, that a name stands for."""
    import io

    from markupsafe import Markup
    from PIL import Image

    whole = Image.fromarray(pixels(image))
    side = min(max(whole.width, SMALLEST), LARGEST)
    if whole.width != side:
        enlarged = Image.Resampling.NEAREST if whole.width < side else Image.Resampling.LANCZOS
        whole = whole.resize((side, side), enlarged)
    buffer = io.BytesIO()
    whole.save(buffer, "JPEG", quality=88)
    uri = Markup(data_uri(buffer.getvalue(), "jpeg"))
    return Markup('<img src="{}" alt="{}" width="{}" height="{}">').format(uri, plain(name), side, side)


def data_uri(payload: bytes, kind: str) -> str:
    """Return a picture as a URI that needs no network."""
    import base64

    return f"data:image/{kind};base64,{base64.b64encode(payload).decode()}"
