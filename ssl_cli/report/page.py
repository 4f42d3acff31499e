"""A page of a report: one file that needs no network, for phones and desktops, light and dark.

``templates/`` lays a page out, and escapes every text; nothing here is HTML.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_cli import __version__
from ssl_cli.system.html import render

HERE = Path(__file__).parent


@dataclass
class Cell:
    """One cell of a table; each part of it is plain text."""

    text: str = ""
    small: Sequence[str] = ()  # lines below it
    best: bool = False  # of its line: shown bold
    link: str = ""  # where the text leads


@dataclass
class Table:
    """A table; its texts are plain."""

    caption: str
    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]  # name and cells


def render_page(
    template: str, title: str, points: Mapping[str, Any] | None = None, thumbnails: str = "", **values: Any
) -> str:
    """Return the whole page.

    Args:
        template: a file of ``templates/`` that extends ``page.html``.
        title: plain text.
        points: what page.js reads to show thumbnails; None: no script is needed.
        thumbnails: data URI of the picture that holds them.
        values: what the template shows.

    Nothing but its own script may run in it, and nothing may be fetched: the page's content security policy says so.
    """
    from markupsafe import Markup

    style, script = (Markup((HERE / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    return render(
        f"report/templates/{template}",
        title=title,
        version=__version__,
        style=style,
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        points=points,
        thumbnails=Markup(thumbnails),
        **values,
    )
