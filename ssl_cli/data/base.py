"""What every kind of input has, whatever it is: above `ssl_cli.pretext` nothing asks which one it is.

A kind is two classes: its `Data` (the stored inputs, with labels and splits) and its
`ssl_cli.data.info.DataInfo` (what a model must know of them, kept in every checkpoint).
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ssl_cli.data.info import DataInfo


class Data(ABC):
    """Inputs as stored, in memory or memory-mapped; read only. Each kind is a frozen dataclass with these fields.

    The source of a data set may leave ``val`` and ``test`` out of ``splits``; `dataset.load` completes them, and makes
    of the inputs what a network sees (`seen_at`).
    """

    kind: ClassVar[str]  # as in `DataInfo`
    noun: ClassVar[str]  # one of them, in messages
    alike: ClassVar[str] = "exactly"  # in how far exact copies are alike

    called_by_content: ClassVar[bool] = False  # see `called`
    how_to_test: ClassVar[str] = "dataset.test_fraction"  # what gives a data set labelled test inputs
    labelled_like_it: ClassVar[dict[str, str]] = {}  # settings of a data set of the user's own, with labels

    name: str
    inputs: Any  # what a network sees of each, unchanged; indexed by positions [n]: rows for `DataInfo.to_input`
    labels: Tensor  # [N] int64; -1 = no human label
    classes: tuple[str, ...]  # names by label; () when there are no labels
    splits: dict[str, Tensor]  # "train", "val", "test": disjoint sorted int64 positions; val and test may be empty
    factors: dict[str, Tensor]  # name -> [N] floats, NaN = not known: targets
    files: tuple[str, ...]  # [N] paths, where inputs come from files
    groups: Tensor | None  # [N] int64: inputs of one patient, author, ... have one number; -1 = of no group
    skipped: int  # broken files that were left out
    note: str  # one line for the user: how the source was read

    @property
    def cut_from(self) -> Any:
        """What views are made of: indexed by positions [n], it gives rows for `DataInfo.views`.

        A tensor, or for inputs of unlike shapes what has the methods of `ssl_cli.photos.Photos` that a `Loader` uses:
        ``device``, ``nbytes``, ``packed``, ``pin_memory`` and ``to``.
        """
        return self.inputs

    @property
    def storage(self) -> str:
        """How the inputs are stored, and what that takes, in words."""
        return in_words(self.cut_from.nbytes)

    def how_views_are_cut(self, anywhere: bool) -> str:
        """Return what is to be said after `storage` of how views are made; ``anywhere``: see `Pretext.cuts_photos`."""
        return ""

    @property
    @abstractmethod
    def shape(self) -> str:
        """The shape of one input, as `DataInfo.shape` has it."""

    def seen_at(self, how: Any) -> "Data":
        """Return the data as a network sees them, ``how`` as `DataInfo.seen` has it (None: the data tell)."""
        return self

    @abstractmethod
    def info(self, node: Mapping[str, Any], **common: Any) -> DataInfo:
        """Return the facts of the data set, of which ``common`` are those that every kind has.

        Raises:
            UserError: a setting of ``node``, the data set's, does not fit the inputs.
        """

    @abstractmethod
    def raw(self, info: DataInfo) -> "Raw":
        """Return the baseline that any representation has to beat: features that nobody has trained."""

    def contents(self) -> Any:
        """Return the bytes of each input, [N, b] uint8 or indexed like that: equal inputs have equal ones."""
        return self.inputs.flatten(1).view(torch.uint8)

    def digest(self) -> str:
        """Return the sha256 of all inputs as stored, whatever they are called."""
        digest, contents = hashlib.sha256(self.shape.encode()), self.contents()
        one_by_one = map(contents.__getitem__, range(len(self.labels)))  # of different lengths
        for row in contents.split(4096) if isinstance(contents, Tensor) else one_by_one:
            digest.update(f"{tuple(row.shape)}\n".encode())
            digest.update(row.numpy())
        return digest.hexdigest()

    @abstractmethod
    def shown(self, at: Tensor) -> Any:
        """Return inputs as `ssl views` shows them: pictures [n, C, h, w] in [0, 1], or n texts."""

    def moments(self, at: Tensor) -> Sequence[Tensor]:
        """Return pictures [n, C, h, w] in [0, 1] of each moment of inputs that move, ``fps`` a second; else nothing."""
        return ()

    def called(self, i: int) -> str:
        """Return what a table calls an input that is in no file of its own."""
        return str(i)

    def kept(self) -> dict[str, Any]:
        """Return what a run keeps of how its inputs were made: names of JSON files and their content."""
        return {}

    def pictures(self, at: Tensor) -> "list[Tensor] | None":
        """Return inputs at positions [n] as pictures for pages, [C, h, w] uint8 each; None: they are no pictures."""
        return None

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 when there are no labels."""
        return len(self.classes)

    @property
    def labelled(self) -> bool:
        """Whether any training input has a human label."""
        return bool((self.labels[self.splits["train"]] >= 0).any())

    def within_file(self, i: int) -> str:
        """Return what tells an input from others of its file, to be written behind the name; "" where it is alone."""
        return ""

    def known_by(self, at: Tensor) -> bytes:
        """Return what tells the inputs at positions [n] from others, for `split_fingerprint`."""
        if self.files:
            return "\n".join(Path(self.files[i]).name for i in at.tolist()).encode(errors="surrogateescape")
        return at.numpy().astype("<i8").tobytes()


class Raw(nn.Module, ABC):
    """Features that need no training. As a module it takes what a network takes, a changed view for example."""

    one_scale: ClassVar[bool] = False  # whether probes that standardise features divide all of them by one number
    name: ClassVar[str] = "raw"  # in results: one of `ssl_cli.probes.scores.protocol.RAW`
    dim: int

    @abstractmethod
    def of(self, inputs: Any, positions: Tensor) -> Tensor:
        """Return the features [n, dim] float32 of stored inputs (`Data.inputs`) at positions [n]."""


def split_fingerprint(data: Data) -> str:
    """Return 12 hex digits that change when an input moves to another split, or its label or file name changes."""
    digest = hashlib.sha256()
    for name in ("train", "val", "test"):
        at = data.splits[name]
        digest.update(f"{name} {len(at)}\n".encode())
        digest.update(data.labels[at].numpy().astype("<i8").tobytes())
        digest.update(data.known_by(at))
    return digest.hexdigest()[:12]


def in_words(size: int, mapped: str = "") -> str:
    """Return what so many bytes are, and where."""
    taken = f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
    return f"{taken} {f'mapped from {mapped}' if mapped else 'in memory'}"
