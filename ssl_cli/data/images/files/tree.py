"""A folder of files as a tree: names in a stable order, and a count of all left-out files, with the reason."""

import functools
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ssl_cli.data.images.files.decode import suffixes
from ssl_cli.data.images.files.formats import ARCHIVES, WHY_NOT, register_plug_ins
from ssl_cli.data.images.files.names import as_text, few
from ssl_cli.errors import UserError

Entry = tuple[str, str | None, str]  # file relative to the root (or absolute), class (None = unlabelled), split
_OF_SYSTEMS = {
    "of macOS": ("__macosx", "icon\r", "network trash folder", "temporary items"),
    "of Windows": ("$recycle.bin", "desktop.ini", "ehthumbs.db", "found.000", "recycled", "recycler", "thumbs.db")
    + ("system volume information",),
    "of a NAS": ("#recycle", "#snapshot", "@__thumb", "@eadir", "@recently-snapshot", "@recycle", "@tmp"),
    "of the file system": ("lost+found",),
    "of Python": ("__pycache__",),
}
_OTHER = "~"  # they are just of no such kind; sorts last
NEVER = {name: reason for reason, names in _OF_SYSTEMS.items() for name in names}


@dataclass(frozen=True)
class Listing:
    """The files of a folder, and a line for the user on how it was read."""

    entries: list[Entry]
    note: str
    groups: dict[str, str] = field(default_factory=dict)  # file -> its group, if a table has groups


class Tree:
    """The visible folders and files of one kind below a root; paths are relative to it, "" is the root itself.

    Args:
        root: the folder.
        without: a folder in it to leave out; None: none.
        endings: of the files to list, in small letters; None: endings of images.
        noun: what one of these files is called, in messages.

    Raises:
        UserError: from every method, if a folder cannot be read.
    """

    def __init__(
        self, root: Path, without: Path | None = None, endings: Collection[str] | None = None, noun: str = "image"
    ):
        register_plug_ins()
        self.root, self.suffixes, self.noun = root, suffixes() if endings is None else endings, noun
        self.why_not = WHY_NOT if endings is None else ARCHIVES
        self.without = None if without is None else os.path.realpath(without)
        self.left_out: dict[str, dict[str, str]] = {}  # reason -> path -> name or ending
        self._listed = functools.cache(self._list)
        self._below = functools.cache(lambda folder: list(self._walk(folder)))

    def folders(self, folder: str) -> list[str]:
        """Return the paths of the folders in a folder."""
        return self._listed(folder)[0]

    def files_in(self, folder: str) -> list[str]:
        """Return the files in a folder itself."""
        return self._listed(folder)[1]

    def files_below(self, folder: str) -> list[str]:
        """Return the files in a folder and all folders below; a folder that several links lead to counts once."""
        return self._below(folder)

    def inside(self, folder: str) -> list[str]:
        """Return the paths of the folders in a folder that hold a file at any depth."""
        return [inner for inner in self.folders(folder) if self.files_below(inner)]

    def counted(self, folders: Sequence[str], files: Sequence[str]) -> str:
        """Return for example ``cats, dogs (12 images)``, ``2 images (a.png, b.png)``, or both joined by `and`."""
        parts = []
        if folders:
            total = sum(len(self.files_below(folder)) for folder in folders)
            parts.append(f"{few(map(as_text, folders))} ({total} {self.noun}{'s' * (total != 1)})")
        if files:
            parts.append(f"{len(files)} {self.noun}{'s' * (len(files) != 1)} ({few(map(as_text, files))})")
        return " and ".join(parts)

    def notes(self) -> list[str]:
        """Return a text for each reason to leave files out, with names or endings and their numbers."""
        texts = []
        for reason, paths in sorted(self.left_out.items()):
            counts = sorted(Counter(paths.values()).items())
            if reason == _OTHER:
                texts.append(f"{len(paths)} other files ignored ({few(f'{name} {n}' for name, n in counts)})")
            else:
                texts.append(f"left out, {reason}: {few(f'{name} {n}' if n > 1 else name for name, n in counts)}")
        return texts

    def _walk(self, folder: str) -> Iterator[str]:
        pending, seen = [folder], set()
        while pending:
            folder = pending.pop()
            real = os.path.realpath(self.root / folder)  # links may make loops
            if real not in seen:
                seen.add(real)
                yield from self.files_in(folder)
                pending += reversed(self.folders(folder))

    def _list(self, folder: str) -> tuple[list[str], list[str]]:
        folders, files = [], []
        try:
            with os.scandir(self.root / folder) as found:
                entries = sorted((entry.name, _is_folder(entry)) for entry in found)
        except OSError as error:
            raise UserError(f"cannot read the folder {as_text(error.filename)}: {error.strerror}") from error
        for name, is_folder in entries:
            path = f"{folder}/{name}" if folder else name
            ending = os.path.splitext(name)[1].lower()  # noqa: PTH122 (a Path takes many times as long)
            reason = "hidden" if name.startswith(".") else NEVER.get(name.lower())
            if self.without is not None and is_folder and os.path.realpath(self.root / path) == self.without:
                continue
            if reason is None and (is_folder or ending in self.suffixes):
                (folders if is_folder else files).append(path)
            elif reason is None:
                self.left_out.setdefault(self.why_not.get(ending, _OTHER), {})[path] = (
                    as_text(ending) or "without ending"
                )
            else:
                self.left_out.setdefault(reason, {})[path] = as_text(name)
        return folders, files


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
