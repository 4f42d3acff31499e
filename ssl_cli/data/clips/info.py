"""What a model must know of clips: frames, their size, channels and normalisation."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ssl_cli.augment.augment import Augment
from ssl_cli.data.clips.strips import strip
from ssl_cli.data.info import require
from ssl_cli.data.pixels import PixelInfo, require_counts
from ssl_cli.errors import UserError
from ssl_cli.system.transfer import send


@dataclass(frozen=True)
class ClipInfo(PixelInfo):
    """Facts about clips that a method or pretext may need when it is built."""

    kind: ClassVar[str] = "clip"
    noun: ClassVar[str] = "clip"

    name: str
    channels: int  # 1 or 3
    frames: int  # that a network sees of a clip
    stored_frames: int  # of a clip, as stored: a view may be any ``frames`` of them
    fps: float  # stored frames a second
    image_size: int  # pixels, height = width, of a frame
    classes: tuple[str, ...]  # () without labels
    images: int  # stored clips of all splits; a batch's indices are below this
    train_size: int  # clips in the train split
    labelled: int  # of those, how many a method may see the label of
    mean: tuple[float, ...]  # per channel, of pixels in [0, 1], on the train split
    std: tuple[float, ...]
    splits: str = ""  # fingerprint of which clips are in which split, with their labels

    @property
    def seen(self) -> None:
        """None: the settings of a data set alone tell what a network sees."""
        return None

    @classmethod
    def check_seen(cls, seen: Any) -> None:
        """Raise ``UserError`` where another size than the stored one is asked for."""
        if seen is not None:
            raise UserError(
                f"pretext.size={seen}: clips are seen as large as they are stored; write dataset.storage_size={seen}"
            )

    @property
    def shape(self) -> str:
        """The shape of one input, as it is shown to people."""
        return f"{self.frames} frames of {self.channels}x{self.image_size}x{self.image_size} pixels"

    @property
    def at_once(self) -> int:
        """128 clips of 8 frames of a forward pass; of more or larger frames fewer, which take as much memory."""
        return max(2, 1024 * 64**2 // (self.frames * max(64**2, self.image_size**2)))

    def views(
        self, augment: Augment, rows: Tensor, generator: torch.Generator, count: int = 1, size: int | None = None
    ) -> list[Tensor]:
        """Return ``count`` versions [B, frames, C, size, size] of stored clips: any segment of each, changed."""
        start = torch.randint(
            self.stored_frames - self.frames + 1, (count, len(rows)), generator=generator, device=generator.device
        )
        cut = torch.cat([segments(rows, of_view, self.frames) for of_view in start])
        return list(self.changed(augment, cut, generator, size).split(len(rows)))

    def changed(self, augment: Augment, rows: Tensor, generator: torch.Generator, size: int | None = None) -> Tensor:
        """Return rows [B, T, C, H, W] uint8 changed by a recipe, float and normalised; all frames of a row alike."""
        return augment(rows, self.mean, self.std, generator, size=size or self.image_size)[0]

    def visible(self, view: Tensor) -> Tensor:
        """Return normalised clips [B, T, C, h, w] as strips of frames [B, C, h', w'] in [0, 1]."""
        return strip(self.unnormalised(view))

    def for_network(self, asks: Callable[[str], bool]) -> dict[str, Any]:
        """Return the channels, and where the constructor asks for them the frames and their side in pixels."""
        told = {"frames": self.frames, "image_size": self.image_size}
        return {"in_channels": self.channels, **{name: value for name, value in told.items() if asks(name)}}

    def check_backbone(self, backbone: Any) -> None:
        """Raise ``UserError`` where a backbone takes no clips, or larger ones."""
        if backbone.min_frames is None:
            raise UserError(
                f"this backbone takes single frames, and {self.name} has clips; write backbone=convnet_video, or "
                "backbone=frames, which gives each frame to one that you name"
            )
        if self.frames < backbone.min_frames:
            raise UserError(
                f"this backbone needs {backbone.min_frames} frames or more, {self.name} shows it {self.frames}; write "
                f"dataset.view_frames={backbone.min_frames}"
            )
        if self.image_size < backbone.min_size:
            raise UserError(
                f"this backbone needs frames of at least {backbone.min_size} pixels, {self.name} has "
                f"{self.image_size}; write {self.size_key}={backbone.min_size} or backbone=convnet_video"
            )

    def settings(self, node: Mapping[str, Any], typed: Collection[str]) -> dict[str, Any]:
        """Return the size, the channels, the frames and their rate."""
        wanted = {
            "storage_size": self.image_size,
            "channels": self.channels,
            "frames": self.stored_frames,
            "view_frames": self.frames,
            "fps": self.fps,
        }
        return {name: value for name, value in wanted.items() if name in node and name not in typed}

    def fitted(self, data: Any, typed: Collection[str], key: str) -> tuple[Any, str]:
        """Return clips as they are, if they are as these; see `DataInfo.fitted`."""
        here, there = (data.channels, data.image_size), (self.channels, self.image_size)
        if here != there:
            keys = [f"{key}.{name}" for name in ("storage_size", "channels") if name in typed]
            advice = f"leave {' and '.join(keys)} out" if keys else f"write {key}.storage_size={self.image_size}"
            raise UserError(
                f"the checkpoint's backbone was trained on frames of {there[0]}x{there[1]}x{there[1]} ({self.name}), "
                f"{data.name} has {here[0]}x{here[1]}x{here[1]}; {advice}"
            )
        normalised = f"normalised as the {self.name} clips that the run was trained on"
        return data, f"{data.view_frames} frames at {data.image_size}x{data.image_size} pixels, {normalised}"

    def check(self, values: Mapping[str, Any]) -> None:
        """Raise ``ValueError`` for frames, a size, channels or normalisation that none is."""
        super().check(values)
        require_counts(self, ["frames", "stored_frames"], values)
        require(self.frames <= self.stored_frames, "frames", values)
        require(type(self.fps) in (int, float) and math.isfinite(self.fps) and self.fps > 0, "fps", values)


def segments(rows: Tensor, start: Tensor, frames: int, pace: Tensor | int = 1) -> Tensor:
    """Return [B, frames, C, H, W]: every ``pace``-th frame of each clip, from its own start on.

    Args:
        rows: [B, T, C, H, W] clips as stored.
        start: [B] int64, on any device.
        frames: of the result.
        pace: 1 or more, of all or [B] of each.
    """
    start = send(start, rows.device)
    pace = send(pace, rows.device).unsqueeze(1) if isinstance(pace, Tensor) else pace
    time = start.unsqueeze(1) + pace * torch.arange(frames, device=rows.device)
    return rows[torch.arange(len(rows), device=rows.device).unsqueeze(1), time]
