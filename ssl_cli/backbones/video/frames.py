"""Any network of images, given the frames of a clip one by one: its features, brought together over time."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from ssl_cli.backbones.adapt import KEYS
from ssl_cli.backbones.base import Backbone
from ssl_cli.backbones.build import asks_for
from ssl_cli.backbones.foreign.origin import Origin
from ssl_cli.config.build import instantiate, target_of, without_annotations
from ssl_cli.errors import UserError, did_you_mean

OVER_TIME = ("mean", "convolution")


class OverTime(nn.Conv1d):
    """A convolution over three frames that follow each other.

    It returns a row a frame, as the network for frames does, so `PerFrame.pooled` need not know which it has.
    """

    def __init__(self, dim: int):
        super().__init__(dim, dim, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return [B * T, d] of features [B, T, d]."""
        return super().forward(features.transpose(1, 2)).transpose(1, 2).flatten(0, 1)


class PerFrame(Backbone):
    """A backbone for images sees each frame by itself; what it says of them is averaged, or looked at in order first.

    The mean does not depend on the order of the frames. The convolution sees three that follow each other.

    Args:
        in_channels: colour channels of the frames.
        image_size: their side, in pixels.
        frames: of a clip, as a rule; `pooled` counts on it.
        of: the settings of a backbone for images, with its ``_target_``.
        over_time: ``mean`` or ``convolution``.
        weights: those of the backbone for images, as it takes them; None: random.

    Raises:
        UserError: ``over_time`` is unknown, or that backbone takes no weights.
    """

    told = ("in_channels", "image_size", "frames")
    min_frames = 1

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        frames: int,
        of: Mapping[str, Any],
        over_time: str = "mean",
        weights: str | None = None,
    ):
        super().__init__()
        if over_time not in OVER_TIME:
            raise UserError(
                f"backbone.over_time={over_time} is unknown{did_you_mean(str(over_time), OVER_TIME)}; write mean or "
                "convolution"
            )
        size = {"image_size": image_size} if asks_for(of["_target_"], "image_size") else {}
        self.net: Backbone = instantiate(_with_weights(of, weights), in_channels=in_channels, **size)
        self.in_channels, self.image_size, self.frames = in_channels, image_size, frames
        self.dim, self.min_size, self.origin = self.net.dim, self.net.min_size, self.net.origin
        self.time = OverTime(self.dim) if over_time == "convolution" else None

    @classmethod
    def origin_of(cls, of: Mapping[str, Any], weights: str | None = None, **_: Any) -> Origin | None:
        """Return where the weights are and what belongs to them, see `Backbone.origin_of`."""
        if weights is None:
            return None
        node = _with_weights(of, weights)
        found = target_of(node).origin_of(**{key: value for key, value in node.items() if key != "_target_"})
        if found is None or not found.settings:
            return found
        known = {key: value for key, value in found.settings.items() if key in of}
        return replace(found, settings={"of": {**of, **known}})

    def forward(self, clips: Tensor) -> Tensor:
        """Return features [B, dim] of normalised clips [B, T, in_channels, H, W]."""
        x = self.net(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])  # [B, T, dim]
        if self.time is not None:
            x = x + self.time(x).view_as(x).relu()
        return x.mean(1)

    def example(self) -> Tensor:
        """Return one small clip, as many frames of the network's own example."""
        return self.net.example().unsqueeze(1).expand(-1, self.frames, *[-1] * 3).contiguous()

    def blocks(self) -> list[nn.Module]:
        """Return those of the network, and the convolution over time."""
        return [*self.net.blocks(), *([] if self.time is None else [self.time])]

    def pooled(self, out: Tensor) -> Tensor:
        """Return the mean over places and frames [B, d] of what a block puts out for each frame."""
        return self.net.pooled(out).unflatten(0, (-1, self.frames)).mean(1)


def _with_weights(of: Mapping[str, Any], weights: str | None) -> dict[str, Any]:
    """Return the settings of the backbone for images as its constructor takes them."""
    node = {key: value for key, value in without_annotations(of).items() if key not in KEYS}
    if weights is not None and "weights" not in node:
        raise UserError(
            f"backbone.weights={weights}: the network for frames takes none; write backbone@backbone.of=NAME"
        )
    return {**node, "weights": weights} if "weights" in node else node
