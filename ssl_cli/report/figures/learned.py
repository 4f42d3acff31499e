"""Figures of what a backbone makes of inputs: features on a plane, neighbours, and the views it was trained on."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl_cli.data.images.files.names import as_text
from ssl_cli.pretext.preview import drawn
from ssl_cli.report.figures import embedding, maps, style
from ssl_cli.report.figures.inspection import Inspection
from ssl_cli.report.figures.style import COLOURS, Drawing
from ssl_cli.report.figures.tiles import sprite, tile_figure
from ssl_cli.system.names import plain

RIGHT, WRONG = COLOURS[0], COLOURS[1]  # blue and orange: told apart by every reader; a sign stands beside
SMALLEST, LARGEST = 16, 48  # sides of a thumbnail, in pixels


def feature_maps(seen: Inspection, directory: Path, tell: Callable[[str], None]) -> tuple[list[Drawing], list[str]]:
    """Return the features by PCA, t-SNE and, where it is installed, UMAP; and lines about what is missing."""
    features, labels, classes = seen.features.numpy(), seen.labels.numpy(), seen.data.classes
    count, noun, images = len(features), seen.data.noun, seen.data.pictures(seen.at)
    if count < embedding.FEWEST:
        return [], [f"No picture of the features: {count} {noun}s are too few."]
    of = f"{count} {seen.split} {noun}s, chosen at random, at step {seen.step}."
    hint = f" Touch a point to see its {noun}." * (images is not None)
    tell("PCA")
    at, share = embedding.pca(features)
    text = f"The two directions of most variance: {100 * share[0]:.0f} % and {100 * share[1]:.0f} % of it. {of}{hint}"
    pca = maps.scatter(at, labels, classes, directory, "pca", "Features, PCA", text)
    tell("t-SNE")
    at = embedding.tsne(features)
    text = f"{noun.capitalize()}s with similar features lie close together; distances between groups mean little."
    text += f" {of}{hint}"
    figures = [maps.scatter(at, labels, classes, directory, "tsne", "Features, t-SNE", text)]
    if images is not None:
        text = (
            f"The same plane with as many {noun}s as fit, each close to its point, framed in the colour of its class."
        )
        shown = [image.numpy() for image in images]
        name = f"Features, t-SNE, as {noun}s"
        figures.append(maps.image_map(at, shown, labels, directory, "tsne_images", name, text))
    if find_spec("umap") is None:
        return [*figures, pca], ["No UMAP: umap-learn is not installed (pip install 'ssl-cli[umap]')."]
    tell("UMAP")
    at = embedding.umap(features)
    text = f"Neighbourhoods as UMAP keeps them. {of}{hint}"
    umap = maps.scatter(at, labels, classes, directory, "umap", "Features, UMAP", text)
    return [*figures, umap, pca], []


def neighbours(seen: Inspection, directory: Path) -> Drawing | None:
    """Return random queries with the train inputs whose features are most like theirs, right and wrong marked.

    None where there are none, or inputs are no pictures.
    """
    queries, found = seen.neighbours.queries, seen.neighbours.found
    if not found.numel() or seen.data.pictures(queries) is None:
        return None
    data, noun, rows, under = seen.data, seen.data.noun, [], []
    marked = right = 0
    for query, near in zip(queries.tolist(), found.tolist(), strict=True):
        rows.append(data.pictures(torch.tensor([query, *near])))
        words = [(_name(data, query), style.INK)]
        for i in near:
            known = data.labels[query] >= 0 and data.labels[i] >= 0
            same = bool(data.labels[query] == data.labels[i])
            marked, right = marked + known, right + (known and same)
            sign, colour = (("✓ ", RIGHT) if same else ("✗ ", WRONG)) if known else ("", style.INK)
            words.append((sign + _name(data, i), colour))
        under.append(words)
    headings = ["query", "nearest", *(str(i) for i in range(2, found.shape[1] + 1))]
    text = f"Random {seen.split} {noun}s and the train {noun}s whose features are most like theirs (cosine)."
    if marked:
        text += f" ✓ of the same class, ✗ of another: {right} of {marked} are right."
    figure = tile_figure(rows, headings, under if data.classes else ())
    return style.save(figure, directory, "neighbours", "Nearest neighbours", text)


def views(seen: Inspection, directory: Path) -> Drawing | None:
    """Return what the pretext makes of a few train inputs: what the method was trained on; None: no pictures."""
    columns, answers = drawn(seen.pretext, seen.data, count=6, seed=0)
    if not isinstance(columns[seen.data.noun], Tensor):
        return None
    rows = [list(row) for row in zip(*(images[:8] for images in columns.values()), strict=True)]
    text = f"Train {seen.data.noun}s as they are, then as the method saw them" + (
        ", with the label that the task makes." if answers else "."
    )
    figure = tile_figure(rows, list(columns), beside=answers[: len(rows)])
    return style.save(figure, directory, "views", "Views", text)


def page_points(seen: Inspection, drawings: list[Drawing]) -> tuple[dict[str, Any] | None, str]:
    """Return what page.js reads: places of the points and words for each input; and the thumbnails as a data URI."""
    placed = {d.name: [[round(x, 1), round(y, 1)] for x, y in d.points] for d in drawings if d.points}
    images = seen.data.pictures(seen.at)
    if not placed or not images:
        return None, ""
    side = min(max(images[0].shape[-1], SMALLEST), LARGEST)
    uri, columns = sprite(images, side)
    words = []
    for i in seen.at.tolist():
        file = as_text(Path(seen.data.files[i]).name) if seen.data.files else f"{seen.data.noun} {i}"
        name = _name(seen.data, i)
        words.append(f"{name} · {plain(file, 30)}" if name else plain(file, 30))
    return {"side": side, "columns": columns, "rows": -(-len(words) // columns), "images": words, "maps": placed}, uri


def _name(data: Any, i: int) -> str:
    label = int(data.labels[i])
    return plain(data.classes[label], 30) if label >= 0 else ""
