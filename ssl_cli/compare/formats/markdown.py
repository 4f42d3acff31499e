"""A comparison as Markdown."""

import html

from ssl_cli.compare.formats.remarks import remarks
from ssl_cli.compare.formats.wording import cost, cost_heads, head, score_cells, title
from ssl_cli.compare.result import Comparison


def to_markdown(c: Comparison) -> str:
    """Return a table and the remarks below it; text of the data is escaped."""
    rows = [["", *(head(c, at).replace("\n", " ") for at in c.columns), *cost_heads(c)]]
    rows.append(["---", *["---:"] * (len(rows[0]) - 1)])
    rows[0] = [_escape(cell) for cell in rows[0]]
    for line in c.lines:
        cells = [
            (f"**{cell.score}**" if cell.best else cell.score) + (f"<br>{cell.difference}" if cell.difference else "")
            for cell in score_cells(c, line)
        ]
        rows.append([_escape(line.name), *cells, *cost(c, line)])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([_escape(title(c)) + ".", "", table, "", *(f"{_escape(line)}\n" for line in remarks(c))])


def _escape(text: str) -> str:
    """Return text that is neither markup nor a new cell of a Markdown table."""
    text = html.escape(text, quote=False)
    return "".join(f"\\{char}" if char in "\\`*_[]|#" else " " if char in "\r\n" else char for char in text)
