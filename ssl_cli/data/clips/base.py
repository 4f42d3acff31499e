"""What every data set of video becomes: clips of equally many frames in one uint8 buffer, labels and splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ssl_cli.data.base import Data, in_words
from ssl_cli.data.clips.info import ClipInfo
from ssl_cli.data.clips.raw import Frames
from ssl_cli.data.clips.strips import IN_SHEET, SHOWN, evenly, sheet, strip
from ssl_cli.data.pixels import normalisation, statistics
from ssl_cli.errors import UserError

STATS_CLIPS = 1000  # clips that the channel statistics are taken over, at most


@dataclass(frozen=True)
class ClipData(Data):
    """Clips as stored, in memory or memory-mapped; read only. See `Data`."""

    kind: ClassVar[str] = "clip"
    noun: ClassVar[str] = "clip"
    alike: ClassVar[str] = "frame for frame"
    how_to_test: ClassVar[str] = "dataset.test_fraction, or the folder test/"
    labelled_like_it: ClassVar[dict[str, str]] = {"dataset": "clips", "dataset.root": "LABELLED_DIR"}

    name: str
    clips: Tensor  # [N, T, C, H, W] uint8
    labels: Tensor  # [N] int64; -1 = no human label
    classes: tuple[str, ...]  # names by label; () when there are no labels
    splits: dict[str, Tensor]  # "train", "val", "test": disjoint sorted int64 positions; val and test may be empty
    view_frames: int  # frames that a network sees; those in the middle, where nothing is changed
    fps: float  # frames a second
    factors: dict[str, Tensor] = field(default_factory=dict)  # name -> [N] floats, NaN = not known: targets
    files: tuple[str, ...] = ()  # [N] paths, where clips come from files
    start: Tensor | None = None  # [N] float64: seconds from the beginning of the file
    groups: Tensor | None = None  # [N] int64: clips of one film, person, ... have one number; -1 = of no group
    skipped: int = 0  # broken files that were left out
    note: str = ""  # one line for the user: how the source was read
    mapped: str = ""  # the file that the clips are mapped from; "": they are in memory

    def __post_init__(self) -> None:
        if not 1 <= self.view_frames <= self.frames:
            raise UserError(
                f"dataset.view_frames={self.view_frames} is not between 1 and the {self.frames} frames of a clip; "
                f"write dataset.view_frames={self.frames} or more dataset.frames"
            )

    @property
    def inputs(self) -> Tensor:
        """The frames in the middle of each clip [N, view_frames, C, H, W] uint8; no copy."""
        return self.clips.narrow(1, (self.frames - self.view_frames) // 2, self.view_frames)

    @property
    def cut_from(self) -> Tensor:
        """The clips, of which a view is any segment."""
        return self.clips

    @property
    def frames(self) -> int:
        """Stored frames of a clip."""
        return self.clips.shape[1]

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (RGB)."""
        return self.clips.shape[2]

    @property
    def image_size(self) -> int:
        """Side of a frame, in pixels."""
        return self.clips.shape[-1]

    @property
    def storage(self) -> str:
        """How the clips are stored, and what that takes, in words."""
        what = f"{self.frames} frames of {self.image_size} pixels at {self.fps:g} a second"
        return f"{what}, {in_words(self.clips.nbytes, self.mapped)}"

    def how_views_are_cut(self, anywhere: bool) -> str:
        """Return how many of the frames a view has, where it has not all."""
        return f"; a view has {self.view_frames} of them" * (self.view_frames < self.frames)

    @property
    def shape(self) -> str:
        """The shape of one clip, as `DataInfo.shape` has it."""
        return f"{self.view_frames} frames of {self.channels}x{self.image_size}x{self.image_size} pixels"

    def seen_at(self, how: None) -> "ClipData":
        """Return the data themselves: a network sees clips as they are stored."""
        return self

    def info(self, node: Mapping[str, Any], **common: Any) -> ClipInfo:
        """Return the facts of the clips; see `Data.info`."""
        mean, std = normalisation(self.pixel_stats(), self.channels, node)
        return ClipInfo(
            channels=self.channels,
            frames=self.view_frames,
            stored_frames=self.frames,
            fps=self.fps,
            image_size=self.image_size,
            mean=mean,
            std=std,
            **common,
        )

    def raw(self, info: ClipInfo) -> Frames:
        """Return the frames averaged down, with their differences, as features."""
        return Frames(info.channels, info.frames, info.image_size, info.mean, info.std)

    def contents(self) -> Tensor:
        """Return the bytes of each clip as stored."""
        return self.clips.flatten(1)

    def shown(self, at: Tensor) -> Tensor:
        """Return clips as strips of frames [n, C, h, w] in [0, 1]."""
        return strip(self._some_frames(at, SHOWN).float().div(255))

    def moments(self, at: Tensor) -> Sequence[Tensor]:
        """Return clips as a picture of each frame [n, C, H, W] in [0, 1]."""
        return self.clips[at].float().div(255).unbind(1)

    def pictures(self, at: Tensor) -> list[Tensor]:
        """Return of each clip four frames, evenly spaced, in a square [C, h, h] uint8, row by row."""
        return list(sheet(self._some_frames(at, IN_SHEET)))

    def _some_frames(self, at: Tensor, most: int) -> Tensor:
        """Return at most so many frames of clips, evenly spaced [n, T, C, H, W]; the others are not read."""
        return self.clips[at.unsqueeze(1), evenly(self.frames, most)]

    def within_file(self, i: int) -> str:
        """Return when a clip begins and ends, in seconds: ``#t=4,6``, as addresses of media have it."""
        if self.start is None:
            return ""
        start = float(self.start[i])
        return f"#t={start:g},{start + self.frames / self.fps:g}"

    def known_by(self, at: Tensor) -> bytes:
        """Return what tells clips from others: the name of the file, and when they begin."""
        if self.start is None:
            return super().known_by(at)
        names = (f"{Path(self.files[i]).name}@{self.start[i]:.3f}" for i in at.tolist())
        return "\n".join(names).encode(errors="surrogateescape")

    def pixel_stats(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation of each channel where 255 is 1, over at most 1,000 training clips."""
        train = self.splits["train"]
        rows = train[torch.linspace(0, len(train) - 1, min(len(train), STATS_CLIPS)).round().long()]
        return statistics(self.clips[chunk].flatten(0, 1) for chunk in rows.split(32))
