"""Unusable parts of a table of labels: counted and named, then refused or left out, as the user chooses."""

from collections.abc import Collection, Iterable, Sequence
from enum import Enum
from pathlib import Path

from ssl_cli.data.images.files.cache import shown
from ssl_cli.data.images.files.names import as_text, few
from ssl_cli.errors import UserError


class Slip(Enum):
    """A kind of slip, in words: singular and plural."""

    ABSENT = "row of no image", "rows of no image"
    SEVERAL = "row that fits several images", "rows that fit several images"
    UNLIKE = "image whose rows differ", "images whose rows differ"
    LABELS = (
        "cell with several labels (there is one label an image)",
        ("cells with several labels (there is one label an image)"),
    )
    CLASS = (
        "image of val or test with a class that train does not have",
        ("images of val or test with a class that train does not have"),
    )
    GROUP = "group in several splits", "groups in several splits"


class Slips:
    """The slips of one table."""

    def __init__(self, file: Path):
        self.file = file
        self.found: dict[Slip, list[str]] = {}

    def add(self, slip: Slip, text: str) -> None:
        """Count a slip; the text names where it is."""
        self.found.setdefault(slip, []).append(text)

    def settle(self, on_error: str) -> str:
        """Return a note on what is left out; with ``on_error="stop"`` raise ``UserError`` if there is anything."""
        texts = [f"{len(where):,} {slip.value[len(where) > 1]}: {few(where)}" for slip, where in self.found.items()]
        if texts and on_error == "stop":
            raise UserError(
                f"{shown(self.file)} has {'; '.join(texts)}; correct it, or leave that out: dataset.on_error=skip"
            )
        return f"left out: {'; '.join(texts)}" if texts else ""


def several_labels(cells: Iterable[str]) -> set[str]:
    """Return the cells with several labels: ``cat|dog``, ``[cat, dog]``, or ``cat, dog`` if both are labels.

    Args:
        cells: of the column of labels, without space around them.
    """
    whole = set(cells)
    return {cell for cell in whole if _is_several(cell, whole)}


def _is_several(cell: str, whole: Collection[str]) -> bool:
    listed = cell.startswith(("[", "{", "(")) and cell.endswith(("]", "}", ")"))
    if any(len(_parts(cell, mark)) > 1 for mark in "|;") or (listed and len(_parts(cell, ",")) > 1):
        return True
    parts = _parts(cell, ",")
    return len(parts) > 1 and all(part in whole for part in parts)


def _parts(cell: str, mark: str) -> Sequence[str]:
    return [part for part in map(str.strip, cell.split(mark)) if part]


def at_line(name: str, line: int) -> str:
    """Return for example ``cat.png (line 7)``."""
    return f"{as_text(name)} (line {line})"
