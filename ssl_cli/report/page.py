"""The parts of a page of HTML: one file, without a network, for a phone as for a desk, light and dark.

Every text that comes from data goes through `text`; what these functions return is HTML.
"""

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_cli import __version__
from ssl_cli.report.figures.style import Drawing
from ssl_cli.report.names import plain

HERE = Path(__file__).parent


def text(value: object, limit: int = 10_000) -> str:
    """Return a text fit to stand in HTML, as content or as a quoted attribute."""
    return html.escape(plain(value, limit))


def document(title: str, parts: Iterable[str], points: Mapping[str, Any] | None = None, thumbnails: str = "") -> str:
    """Return the whole page.

    Args:
        title: plain text.
        parts: HTML of the body, from top to bottom.
        points: what page.js reads to show thumbnails; None: no script is needed.
        thumbnails: data URI of the picture that holds them.

    Nothing but its own script may run in it, and nothing may be fetched: the page's content security policy says so.
    """
    style = (HERE / "page.css").read_text(encoding="utf-8")
    script = (HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    if thumbnails:
        style += f"#tip .thumb {{ background-image: url({thumbnails}); }}\n"
    scripts = ""
    if points:
        scripts = f'<script type="application/json" id="points">{json_text(points)}</script>\n<script>{script}</script>'
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="generator" content="ssl {__version__}">
<title>{text(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
{chr(10).join(part for part in parts if part)}
</main>
{scripts}
</body>
</html>
"""


def json_text(content: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    return json.dumps(content).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def section(title: str, *parts: str) -> str:
    """Return a headed section, or nothing where there is nothing in it."""
    inside = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>{text(title)}</h2>\n{inside}\n</section>" if inside else ""


def figures(drawings: Iterable[Drawing | None]) -> str:
    """Return figures side by side where there is room."""
    shown = [figure(drawing) for drawing in drawings if drawing is not None]
    return '<div class="figures">\n' + "\n".join(shown) + "\n</div>" if shown else ""


def figure(drawing: Drawing) -> str:
    """Return one figure with its title and caption."""
    caption = f"<figcaption>{text(drawing.caption)}</figcaption>"
    return f'<figure id="{drawing.name}">\n<h3>{text(drawing.title)}</h3>\n{drawing.body}\n{caption}\n</figure>'


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Return terms and values, those without a value left out."""
    shown = [(term, value) for term, value in pairs if value not in (None, "")]
    cells = "\n".join(f"<div><dt>{text(term)}</dt><dd>{text(value, 200)}</dd></div>" for term, value in shown)
    return f'<dl class="facts">\n{cells}\n</dl>'


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; ``rows`` are HTML already, ``head`` and ``caption`` are not."""
    header = "".join(f'<th scope="col">{text(cell)}</th>' for cell in head)
    body = "\n".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>" for row in rows
    )
    return (
        f'<p class="soft">{text(caption)}</p>\n<div class="scroll">\n<table>\n<thead><tr>{header}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


def bullets(lines: Iterable[str]) -> str:
    """Return a list of plain texts."""
    items = "\n".join(f"<li>{text(line)}</li>" for line in lines)
    return f"<ul>\n{items}\n</ul>" if items else ""


def missing(lines: Iterable[str]) -> str:
    """Return what is not there and why, a line each."""
    return "\n".join(f'<p class="missing">{text(line)}</p>' for line in lines)


def code(content: str) -> str:
    """Return a block of text as it is, its lines kept."""
    lines = "\n".join(text(line) for line in content.splitlines())
    return f"<pre><code>{lines}</code></pre>"


def fold(title: str, content: str) -> str:
    """Return something that is shown on demand."""
    return f"<details>\n<summary>{text(title)}</summary>\n{content}\n</details>"
