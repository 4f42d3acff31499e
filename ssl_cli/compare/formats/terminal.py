"""A comparison as a table for the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ssl_cli.compare.formats.remarks import remarks
from ssl_cli.compare.formats.wording import ScoreCell, cost, cost_heads, head, score_cells, title
from ssl_cli.compare.result import Comparison

NARROWEST = 14  # characters of the names' column, which may be folded


def to_terminal(c: Comparison, console: Console) -> RenderableType:
    """Return the table, in several blocks of columns where the terminal is too narrow, and what is to be said of it."""
    notes = [Text(line) for line in remarks(c)]
    # An interval stands beside its difference, or below it where that saves blocks.
    layouts = [_blocks(_columns(c, between), console.width) for between in (" ", "\n")]
    return Group(Text(title(c), style="italic"), *(_table(c, block) for block in min(layouts, key=len)), *notes)


def _columns(c: Comparison, between: str) -> list[list[Text]]:
    """Return each column as its head and a cell for every line."""
    scores = zip(*(score_cells(c, line) for line in c.lines), strict=True)
    columns = [
        [Text(head(c, at)), *(_styled(cell, between) for cell in cells)]
        for at, cells in zip(c.columns, scores, strict=True)
    ]
    costs = zip(*(cost(c, line) for line in c.lines), strict=True)
    return columns + [[Text(name), *map(Text, cells)] for name, cells in zip(cost_heads(c), costs, strict=True)]


def _styled(cell: ScoreCell, between: str) -> Text:
    text = Text(cell.score, style="bold" if cell.best else "")
    if cell.difference:
        below = cell.difference.replace(" [", f"{between}[")
        text.append(f"\n{below}", style="not bold" if cell.within_noise is False else "not bold dim")
    return text


def _blocks(columns: Sequence[list[Text]], width: int) -> list[list[list[Text]]]:
    """Return the columns in blocks that fit a width in characters beside the narrowest column of names."""
    blocks: list[list[list[Text]]] = []
    room = 0
    for column in columns:
        needed = 3 + max(part.cell_len for cell in column for part in cell.split())
        if room < needed:
            blocks.append([])
            room = width - NARROWEST - 4
        blocks[-1].append(column)
        room -= needed
    return blocks


def _table(c: Comparison, columns: Sequence[list[Text]]) -> Table:
    """Return one block; only names may be folded."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", overflow="fold", min_width=NARROWEST)
    for name, *_ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for number, line in enumerate(c.lines, 1):
        name = Text(line.name, style="bold" if line.name == c.against else "")
        table.add_row(name, *(column[number] for column in columns))
    return table
