"""How figures look: for a phone's width, in colours that colour-blind readers tell apart, on light and dark ground.

Figures are drawn once by matplotlib. The files on disk are dark ink on white; in the page the same SVG takes the page's
ink, so that it follows the reader's dark mode.
"""

import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ssl_cli.system.atomic import replace

# Petroff 2021, arXiv:2107.02270: ten colours chosen for colour-vision deficiencies, here those of light ground first.
COLOURS = (
    *("#3f90da", "#e76300", "#832db6", "#a96b59", "#ffa90e"),
    *("#bd1f01", "#94a4a2", "#b9ac70", "#717581", "#92dadb"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # with the colours: 70 classes that differ in one or the other
DASHES = ("-", "--", "-.", ":")
INK, FAINT = "#1b1e23", "#8d939c"  # replaced in the page by its ink; readable on both grounds
WIDTH = 3.9  # inches: at 9 points a phone shows it at about 11 pixels
LARGEST = 1.9  # pixels of a page that a point of a figure takes, at most


@dataclass
class Drawing:
    """One figure as the page needs it."""

    name: str  # of its files
    title: str
    caption: str
    body: Markup  # inline SVG in the page's ink, or an image
    points: list[tuple[float, float]] | None = None  # of a scatter: places in the SVG's view box


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Draw in the report's style, off screen, whatever the user's own settings are."""
    import logging
    import warnings

    import matplotlib

    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        warnings.filterwarnings("ignore", message=".*[Gg]lyph")  # a class name in a script that the PNG's font lacks
        matplotlib.rcParams.update(
            {
                "font.size": 9,
                "axes.labelsize": 9,
                "xtick.labelsize": 8.5,
                "ytick.labelsize": 8.5,
                "legend.fontsize": 8.5,
                "legend.frameon": False,
                "text.parse_math": False,  # a class may be called $x$
                "text.color": INK,
                "axes.edgecolor": FAINT,
                "axes.labelcolor": INK,
                "xtick.color": FAINT,
                "ytick.color": FAINT,
                "xtick.labelcolor": INK,
                "ytick.labelcolor": INK,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.grid": True,
                "grid.color": FAINT,
                "grid.alpha": 0.25,
                "grid.linewidth": 0.6,
                "lines.linewidth": 1.6,
                "svg.fonttype": "none",  # text stays text: it is found, read aloud, and shown in any script
                "svg.hashsalt": "ssl",  # the same figure gives the same bytes
                "figure.dpi": 100,
                "figure.facecolor": "none",
                "axes.facecolor": "none",
                "image.composite_image": False,
            }
        )
        yield


def new(height: float = 2.7, width: float = WIDTH, **subplots: Any) -> tuple[Any, Any]:
    """Return a figure and its axes, ``width`` x ``height`` inches; without pyplot, so no display is asked for."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(**subplots)


def save(figure: Any, directory: Path, name: str, title: str, caption: str, points: Any = None) -> Drawing:
    """Write ``name.png`` and ``name.svg``, each whole or not at all, and return the figure for the page.

    Args:
        figure: matplotlib's.
        directory: exists.
        name: of the files; also sets the ids in the SVG apart from those of other figures.
        title: a few words.
        caption: what the reader sees, and how it was made; plain text.
        points: ``(axes, [n, 2])``: places in data coordinates that the page wants to find again.
    """
    svg, png = io.StringIO(), io.BytesIO()
    if (layout := figure.get_layout_engine()) is not None:  # once for both, and not by drawing all of it twice more
        layout.execute(figure)
        figure.set_layout_engine(None)
    figure.savefig(svg, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    figure.savefig(png, format="png", dpi=200, facecolor="white")
    text = svg.getvalue()
    replace(directory / f"{name}.png", png.getvalue())
    paper = '<rect width="100%" height="100%" fill="#ffffff"/>'
    replace(directory / f"{name}.svg", text.replace('<g id="figure_1">', f'{paper}<g id="figure_1">', 1).encode())
    places = None
    if points is not None:
        axes, at = points
        scale = 72 / figure.dpi  # the SVG is in points from the top
        places = [(x * scale, (figure.bbox.height - y) * scale) for x, y in axes.transData.transform(at).tolist()]
    return Drawing(name, title, caption, inline(text, name, title), places)


def inline(svg: str, name: str, title: str) -> Markup:
    """Return matplotlib's SVG as an element of a page: ids of its own, the page's ink, as wide as there is room."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>", "", svg, count=1, flags=re.DOTALL)  # would hold for the whole page
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))  # two equal images would have one id
    svg = re.sub(r' id="([^"]*)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", svg)
    svg = svg.replace('href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-").replace(INK, "currentColor")
    box, width = re.search(r'viewBox="0 0 ([\d.]+) [^"]*"', svg).group(0, 1)
    head = Markup('<svg xmlns:xlink="http://www.w3.org/1999/xlink" {} role="img" aria-label="{}" style="{}">')
    head = head.format(Markup(box), title, f"max-width: {LARGEST * float(width):.0f}px")
    return Markup(head + Markup(svg[svg.index(">") + 1 :].strip()))


def colour_and_marker(index: int) -> dict[str, Any]:
    """Return colour and marker of the ``index``-th class or line."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}
