"""The images that are looked at, with what a table calls them, and their files as they are before they are stored."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssl_cli.audit.finding import SPLITS, Finding, Member
from ssl_cli.data.images.base import ImageData
from ssl_cli.data.images.files.decode import BrokenImage, decode
from ssl_cli.data.images.files.depth import UnknownRange
from ssl_cli.data.images.files.names import as_text
from ssl_cli.data.images.files.sizes import find_sizes


@dataclass
class Images:
    """The images of a data set that are in a split, in the order of the data set; a row is a place among them."""

    data: ImageData
    root: Path  # that file names are relative to
    at: Tensor  # [n] positions
    split: list[str]  # [n]

    @classmethod
    def of(cls, data: ImageData, root: str | None) -> "Images":
        """Return the images of all splits."""
        at = torch.cat([data.splits[name] for name in SPLITS])
        names = [name for name in SPLITS for _ in range(len(data.splits[name]))]
        order = at.argsort()
        return cls(data, Path(str(root)).expanduser(), at[order], [names[i] for i in order.tolist()])

    def __len__(self) -> int:
        return len(self.at)

    @cached_property
    def sizes(self) -> list[tuple[int, int] | None]:
        """[n] width and height of each file in pixels; None where an image is in no file."""
        return find_sizes([self.data.files[i] for i in self.at.tolist()]) if self.data.files else [None] * len(self)

    @property
    def labels(self) -> Tensor:
        """[n] int64; -1 = none."""
        return self.data.labels[self.at]

    def found(self, kind: str, rows: Sequence[int], detail: str = "", weight: float = 0.0) -> Finding:
        """Return a finding about some of them."""
        return Finding(kind, tuple(map(self.member, rows)), detail, weight)

    def member(self, row: int) -> Member:
        """Return what a table calls one of them."""
        i, split = int(self.at[row]), self.split[row]
        label = int(self.data.labels[i])
        name = f"{split}[{i}]"
        if self.data.files:
            name = as_text(Path(os.path.relpath(self.data.files[i], self.root)).as_posix())
        return Member(i, name, split, self.data.classes[label] if label >= 0 else "")

    def stored(self, row: int) -> bytes:
        """Return a digest of the pixels as stored, and of their shape."""
        return _digest(self.data.cut_from[int(self.at[row])].numpy())

    def original(self, row: int) -> bytes | None:
        """Return a digest of the pixels of a file; None where they are those that are stored, or cannot be read."""
        size, side = self.sizes[row], self.data.stored_size
        if size is None or min(size) == side and (self.data.keep_aspect or max(size) == side):
            return None
        known = {kind: tuple(pair) for kind, pair in (self.data.value_range or {}).items()}
        try:
            file = self.data.files[int(self.at[row])]
            return _digest(decode(file, min(size), self.data.channels, known, whole=True)[0])
        except (BrokenImage, UnknownRange):
            return None


def _digest(pixels: np.ndarray) -> bytes:
    return hashlib.blake2b(repr(pixels.shape).encode() + pixels.tobytes(), digest_size=16).digest()
