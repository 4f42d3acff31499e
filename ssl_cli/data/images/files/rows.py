"""The rows of each image in a table, by the image's name in the ways that people write it."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple
from urllib.parse import unquote

from ssl_cli.data.images.files.names import as_text, composed


class _Way(NamedTuple):
    note: str  # for the user
    bare: bool  # names lack their ending
    end: bool  # a name may be the end of an image's path
    inside: bool  # and the end of a name may be an image's path


# All names of a table are read in one way: the first one by which most names fit an image. Only if no name fits in
# other ways, they are read by their own end, because many tables would fit a folder of 1.png, 2.png, ...
_WAYS = (
    _Way("", bare=False, end=False, inside=False),
    _Way("without endings", bare=True, end=False, inside=False),
    _Way("as the end of paths", bare=False, end=True, inside=False),
    _Way("by their own end", bare=False, end=True, inside=True),
    _Way("as the end of paths, without endings", bare=True, end=True, inside=False),
    _Way("by their own end, without endings", bare=True, end=True, inside=True),
)


@dataclass(frozen=True)
class Image:
    """The names of an image in rows."""

    name: str  # relative to the folder of the search
    path: str  # absolute


@dataclass(frozen=True)
class Match:
    """The rows of each image."""

    lines: list[list[int]]  # [N] of each image, in the order of the table; empty: it has no row
    way: str  # how the names were read; "": relative to the folder

    @property
    def found(self) -> tuple[int, int]:
        """Number of rows that fit one image, and number of images with a row: more is better."""
        fits = Counter(line for at in self.lines for line in at)
        return sum(count == 1 for count in fits.values()), sum(map(bool, self.lines))


def of_several(lines: Sequence[Sequence[int]]) -> dict[int, list[int]]:
    """Return line -> images for rows that fit several images, from the lines of each image."""
    images: dict[int, list[int]] = {}
    for image, at in enumerate(lines):
        for line in at:
            images.setdefault(line, []).append(image)
    return {line: several for line, several in images.items() if len(several) > 1}


def match(cells: Mapping[int, str], images: Sequence[Image]) -> Match:
    """Return the rows of each image.

    A name may be relative to the images' folder, or an absolute path, or begin further up or down than the folder, on
    this machine or another; it may lack the ending. Backslashes count as slashes. Two Unicode forms of a name count as
    equal, and so does the text of `names.as_text`.

    Args:
        cells: line -> the name in it.
        images: N of them.
    """
    best = Match([[] for _ in images], "")
    for way in _WAYS:
        if way.inside and any(best.lines):
            continue
        rows = _Rows(cells, way.inside)
        found = Match([rows.of(_keys(image, way)) for image in images], way.note)
        best = found if found.found > best.found else best
        if best.found[0] == len(cells) or best.found[1] == len(images):
            break
    return best


def plain(cell: str) -> str:
    """Return the path in a cell; a labelling tool that serves files writes it behind ``?d=``."""
    if "?d=" in cell:
        cell = unquote(cell.partition("?d=")[2]) or cell
    return PurePath(cell).as_posix() if "./" in cell or "//" in cell or not cell else cell


class _Rows:
    """The lines of a table by their names, and on demand by every end of the names."""

    def __init__(self, cells: Mapping[int, str], inside: bool):
        self.lines: dict[str, list[int]] = {}
        for line, cell in cells.items():
            name = plain(cell)
            names = [name, name.replace("\\", "/")] if "\\" in name else [name]
            for key in dict.fromkeys(end for name in names for end in _ends(name)) if inside else names:
                self.lines.setdefault(key, []).append(line)
        self.alike: dict[str, list[str]] = {}  # Unicode has several forms of a name, and systems choose different ones
        for key in self.lines:
            if not key.isascii():
                self.alike.setdefault(composed(key), []).append(key)

    def of(self, keys: Iterable[tuple[str, str]]) -> list[int]:
        """Return the lines of the first key that has any; each key comes as a text and as the system writes it."""
        for text, name in keys:
            if found := self.lines.get(text) or self.lines.get(name):
                return found
            others = self.alike.get(composed(text), []) if self.alike else []
            if len(others) == 1:
                return self.lines[others[0]]
        return []


def _keys(image: Image, way: _Way) -> Iterable[tuple[str, str]]:
    """Yield the possible names of an image in a row, the longest first."""
    name = image.name.replace(os.sep, "/")
    for end in _ends(image.path.replace(os.sep, "/")) if way.end else [name]:
        if way.inside and len(end) < len(name):  # else all images named 1.png would be the same
            return
        key = os.path.splitext(end)[0] if way.bare else end  # noqa: PTH122 (a Path takes many times as long)
        yield as_text(key), key


def _ends(path: str) -> Iterable[str]:
    """Yield a path, and its rest after each slash."""
    yield path
    while (slash := path.find("/")) >= 0:
        path = path[slash + 1 :]
        if path:
            yield path
