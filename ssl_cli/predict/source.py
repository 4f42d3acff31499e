"""The inputs that are asked about, a few at a time: any files below a folder, or those of a data set."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ssl_cli.data.base import Data
from ssl_cli.data.images.files.cache import as_images
from ssl_cli.data.images.files.decode import pixels_allowed
from ssl_cli.data.images.files.depth import Ranges, UnknownRange
from ssl_cli.data.images.files.names import as_text
from ssl_cli.data.images.files.pool import decode_all, find_ranges
from ssl_cli.data.images.files.tree import Tree
from ssl_cli.data.images.squares import Squares
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError
from ssl_cli.system.terminal import Progress, clock

WORK = "predicting"
CHUNK = 512  # inputs: what `extract` takes at a time, so that equal inputs give equal features to the last bit


@dataclass
class Chunk:
    """Images that follow each other."""

    paths: list[str]  # of n inputs, as a table has them
    inputs: Tensor  # of the m that could be read, as `Data.inputs` has them
    broken: dict[int, str] = field(default_factory=dict)  # place among the n of each of the others -> the reason


class Source(Protocol):
    """Where inputs come from."""

    name: str
    count: int  # of inputs
    by_content: bool  # whether they are called by what they say, being in no files
    root: Path  # that paths are relative to

    def paths(self) -> list[str]:
        """Return what a table calls each input."""

    def names(self) -> list[str]:
        """Return what a table of classes may call each input: likewise, without a place in the file."""

    def identity(self) -> dict[str, Any]:
        """Return plain values that change with the inputs."""

    def chunks(self, done: int) -> Iterator[Chunk]:
        """Yield the inputs after the first ``done``, a multiple of `CHUNK`."""


class Files:
    """Every image below a folder, whatever its layout, brought to the shape of the run's images; never all at once.

    Args:
        root: the folder.
        info: what the run knew of its images.
        reading: version of the rules that its pixels were read by.
        value_range: what becomes 0 and 255 in files of more than 8 bits, as in `Data`.
        max_pixels: of a file; None: what Pillow deems safe.

    Raises:
        UserError: there is no such folder, or no image in it.
    """

    def __init__(
        self, root: str, info: DataInfo, reading: int, value_range: dict[str, list[float]], max_pixels: int | None
    ):
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            what = "is not a folder" if self.root.exists() else "does not exist"
            raise UserError(f"dataset.root={root} {what}; write dataset.root=DIR, the folder with your images")
        tree = Tree(self.root)
        self.files = _Below(self.root, tree.files_below(""))
        self.name, self.count = as_text(self.root.resolve().name), len(self.files)
        self.notes = tree.notes()
        if not self.count:
            raise UserError(f"dataset.root={root} has no image in it ({'; '.join(self.notes) or 'it is empty'})")
        self.info, self.reading, self.max_pixels = info, reading, max_pixels
        self.known: Ranges = {kind: (float(low), float(high)) for kind, (low, high) in value_range.items()}

    by_content = False

    def paths(self) -> list[str]:
        """Return what a table calls each image: its file relative to the root."""
        return [as_text(name) for name in self.files.names]

    names = paths

    def identity(self) -> dict[str, Any]:
        """Return the folder, the number of files, and a digest of their names, sizes and times."""
        digest = hashlib.sha256()
        for name, file in zip(self.files.names, self.files, strict=True):
            try:
                status = os.stat(file)  # noqa: PTH116 (a Path takes three times as long)
                known = f"\0{status.st_size} {status.st_mtime_ns}\0"
            except OSError:  # it is reported when it is decoded
                known = "\0"
            digest.update(os.fsencode(name) + known.encode())
        how = {"reading": self.reading, "range": sorted(self.known.items()), "max_pixels": self.max_pixels}
        facts = {"images": self.count, "files": digest.hexdigest()[:16], "how": repr(how)}
        return {"root": as_text(self.root.resolve()), **facts}

    def chunks(self, done: int) -> Iterator[Chunk]:
        """Yield the images after the first ``done``; see `Source.chunks`."""
        with pixels_allowed(self.max_pixels):
            while True:
                try:
                    for chunk in self._decoded(done):
                        yield chunk
                        done += len(chunk.paths)
                    return
                except UnknownRange:
                    self.known = {**find_ranges(self.files), **self.known}

    def _decoded(self, done: int) -> Iterator[Chunk]:
        info, whole = self.info, self.info.keep_aspect
        side = info.stored_size or info.image_size
        empty = torch.empty(0, info.channels, info.image_size, info.image_size, dtype=torch.uint8)
        start = end = done
        images, broken = [empty], {}
        for batch in decode_all(self.files[done:], side, info.channels, self.known, self.reading, whole, WORK):
            read = as_images(torch.from_numpy(batch.pixels), batch.shapes)
            images += [Squares(read, info.image_size)[:]] if len(read) else []
            broken |= {done + i - start: reason for i, reason in batch.broken.items()}
            end += len(read) + len(batch.broken)
            if end - start >= CHUNK or end == self.count:
                yield Chunk([as_text(name) for name in self.files.names[start:end]], torch.cat(images), broken)
                start, images, broken = end, [empty], {}


class Stored:
    """The inputs of a data set that is in memory already, or mapped.

    Args:
        data: the inputs.
        split: ``all``, ``train``, ``val`` or ``test``.
        root: that file names are relative to; the position of an input stands for the name where it has none.

    Raises:
        UserError: the split has no input.
    """

    def __init__(self, data: Data, split: str, root: str | None):
        parts = [at for name, at in data.splits.items() if split in ("all", name)]
        self.data, self.split, self.root = data, split, Path(str(root)).expanduser()
        self.at = torch.cat(parts).sort().values
        self.name, self.count = data.name, len(self.at)
        self.by_content = data.called_by_content and not data.files
        if not self.count:
            raise UserError(f"split={split} of {data.name} has no {data.noun}; write split=all")

    def paths(self) -> list[str]:
        """Return what a table calls each input, see `path`."""
        return [self.path(i) for i in self.at.tolist()]

    def names(self) -> list[str]:
        """Return the files, or what `path` returns where there are none."""
        return [self.path(i, place=False) for i in self.at.tolist()]

    def identity(self) -> dict[str, Any]:
        """Return the data set, the split, the number of inputs, and a digest of positions and names."""
        digest = hashlib.sha256(self.at.numpy().tobytes())
        digest.update("\n".join(self.data.files).encode(errors="surrogateescape"))
        digest.update(self.data.known_by(self.at) if self.by_content else b"")
        facts = {"images": self.count, "files": digest.hexdigest()[:16]}
        return {"dataset": self.name, "root": as_text(self.root), "split": self.split, **facts}

    def chunks(self, done: int) -> Iterator[Chunk]:
        """Yield the inputs after the first ``done``; see `Source.chunks`."""
        with Progress(self.count, done, every=10.0, after=1.0, stderr=True) as progress:
            for at in self.at[done:].split(CHUNK):
                yield Chunk([self.path(i) for i in at.tolist()], self.data.inputs[at])
                done += len(at)
                left = clock(progress.left(done))
                progress.show(done, f"{WORK}: {done:,} of {self.count:,}, {left} left")

    def path(self, i: int, place: bool = True) -> str:
        """Return what a table calls an input: its file relative to the root, with the place in it if it is wanted.

        Where it has none, a text calls itself, and the position stands for any other.
        """
        if not self.data.files:
            return self.data.called(i)
        name = as_text(Path(os.path.relpath(self.data.files[i], self.root)).as_posix())
        return name + self.data.within_file(i) * place


class _Below(Sequence):
    """File names below a folder as paths that are only made when they are asked for: a million take their names."""

    def __init__(self, root: Path, names: Sequence[str]):
        self.root, self.names = root, names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, slice):
            return os.path.join(self.root, self.names[key])  # noqa: PTH118 (a Path takes many times as long)
        names = self.names[key]
        return (
            _Below(self.root, names) if len(names) > CHUNK else [_Below(self.root, names)[i] for i in range(len(names))]
        )
