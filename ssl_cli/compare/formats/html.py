"""A comparison as HTML: a page of its own, and what a page of another kind needs to show it."""

from typing import Any

from ssl_cli.compare.formats.remarks import remarks
from ssl_cli.compare.formats.wording import cost, cost_heads, head, score_cells, title
from ssl_cli.compare.result import Comparison
from ssl_cli.system.html import render


def to_html(c: Comparison) -> str:
    """Return a page of its own, which needs nothing else."""
    return render("compare/templates/page.html", **html_parts(c))


def html_parts(c: Comparison) -> dict[str, Any]:
    """Return what ``compare/templates/table.html`` shows; all of it is plain text."""
    return {
        "title": title(c),
        "heads": [*(head(c, at) for at in c.columns), *cost_heads(c)],
        "rows": [{"name": line.name, "cells": score_cells(c, line), "cost": cost(c, line)} for line in c.lines],
        "remarks": remarks(c),
    }
