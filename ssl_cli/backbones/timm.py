"""Any network of timm (Wightman 2019, doi:10.5281/zenodo.4414861), with random weights or those of others."""

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone, evaluating
from ssl_cli.backbones.foreign import of_timm
from ssl_cli.backbones.foreign.load import load
from ssl_cli.backbones.foreign.named import MISSING
from ssl_cli.backbones.foreign.origin import Origin
from ssl_cli.errors import UserError


class Timm(Backbone):
    """A network of timm without its classifier: what it makes of images before that are the features.

    Args:
        in_channels: colour channels of the images.
        image_size: side of the images, in pixels; a network with positions of its own is built for it.
        name: as timm has it, with a tag for weights other than its default ones: ``resnet50.a1_in1k``.
        weights: None: random; ``pretrained``: timm's own, from the hub or its cache; a file, or a directory with timm's
            ``config.json`` and ``model.safetensors``.

    Raises:
        UserError: timm is not installed or does not know the name; the network takes no images of this size; the
            weights are not there or not of this network.
    """

    def __init__(self, in_channels: int, image_size: int, name: str, weights: str | None = None):
        super().__init__()
        if importlib.util.find_spec("timm") is None:
            raise UserError(MISSING)
        config = of_timm.published(name)
        self.in_channels, self.image_size = in_channels, image_size
        self.net, self.any_size, convert = _built(name, in_channels, image_size, weights is not None)
        self.dim = self._looked_at(name, config["input_size"][-1])
        self.min_size = _coarsest(self.net, image_size) if self.any_size else image_size
        if weights is not None:
            first, heads = (_several(config.get(key)) for key in ("first_conv", "classifier"))
            self.origin = load(
                self.net,
                of_timm.origin(name, weights),
                f"backbone.weights={weights}",
                convert=lambda part: convert(part, self.net),
                first=[f"{name}.weight" for name in first],
                heads=heads,
            )

    @classmethod
    def origin_of(cls, name: str, weights: str | None = None, **_: Any) -> Origin | None:
        """Return where the weights are and what belongs to them, see `Backbone.origin_of`."""
        return None if weights is None else of_timm.origin(name, weights)

    def forward(self, images: Tensor) -> Tensor:
        """Return features [B, dim] of normalised images [B, in_channels, H, W]."""
        if not self.any_size and images.shape[-1] != self.image_size:
            raise UserError(
                f"this network takes images of {self.image_size} pixels only, and some of {images.shape[-1]} come; "
                "write another backbone.name, or a pretext whose views are all of one size"
            )
        return self.net(images)

    def feature_map(self, images: Tensor) -> Tensor:
        """Return the last map [B, dim, h, w]; of a transformer its patches, in their places."""
        out = self.net.forward_features(images)
        if out.ndim == 3:
            patches = out[:, getattr(self.net, "num_prefix_tokens", 0) :]
            out = patches.transpose(1, 2).unflatten(2, (round(patches.shape[1] ** 0.5), -1))
        elif self._channels_last:
            out = out.permute(0, 3, 1, 2)
        return out if out.shape[1] == self.dim else super().feature_map(images)

    def blocks(self) -> list[nn.Module]:
        """Return the parts from input to output, as timm groups them for layer-wise learning rates."""
        from timm.models import group_parameters

        if not hasattr(self.net, "group_matcher"):
            return [self]
        groups = group_parameters(self.net, self.net.group_matcher(coarse=False))
        return [_holding(self.net, set(groups[number])) for number in sorted(groups)]

    def pooled(self, out: Tensor) -> Tensor:
        """Return the mean over places [B, d] of what a block puts out."""
        return out.mean((1, 2)) if out.ndim == 4 and self._channels_last else super().pooled(out)

    def _looked_at(self, name: str, made_for: int) -> int:
        """Show the network a black image, which it may refuse; return the width of its features."""
        try:
            with evaluating(self.net), torch.no_grad():
                features = self.net(torch.zeros(1, self.in_channels, self.image_size, self.image_size))
        except Exception as error:  # networks say in many ways what they cannot take
            raise UserError(
                f"backbone.name={name} takes no images of {self.image_size} pixels ({_line(error)}); "
                f"write dataset.storage_size={made_for}, which it was made for"
            ) from error
        if features.ndim != 2:
            raise UserError(
                f"backbone.name={name} makes {tuple(features.shape[1:])} of an image, no row of features; write another"
            )
        return features.shape[1]

    @property
    def _channels_last(self) -> bool:
        return getattr(self.net, "output_fmt", "NCHW") == "NHWC"


def _built(name: str, channels: int, size: int, weighted: bool) -> tuple[nn.Module, bool, Callable]:
    """Build a network for images of a size.

    Args:
        name: known to timm.
        channels: of the images.
        size: their side, in pixels.
        weighted: whether weights will be loaded.

    Returns:
        The network, whether it takes images of other sizes, too, and timm's function (tensors, network) -> tensors that
        brings names and positions of published weights to the network's.
    """
    import timm

    fixed = of_timm.published(name).get("fixed_input_size", False)
    sizes: list[dict[str, Any]] = [{"img_size": size, "dynamic_img_size": True}, {"img_size": size}] if fixed else [{}]
    for settings in sizes:
        try:
            with _noting_conversion() as noted:
                net = timm.create_model(name, pretrained=weighted, num_classes=0, in_chans=channels, **settings)
            return net, not fixed or "dynamic_img_size" in settings, noted[-1] if noted else _as_it_is
        except TypeError as error:  # it does not take such a setting
            if settings == sizes[-1] or "dynamic_img_size" not in str(error):
                raise
        except Exception as error:
            raise UserError(
                f"backbone.name={name} cannot be built for {channels} x {size} x {size} pixels ({_line(error)}); write "
                "another dataset.storage_size or backbone.name"
            ) from error
    raise AssertionError("the last settings either build a network or raise")


@contextlib.contextmanager
def _noting_conversion() -> Iterator[list[Callable]]:
    """Keep timm from fetching and loading weights itself, and note the function that it would convert them with.

    It would load what fits and pass over the rest. The function is known nowhere else.
    """
    from timm.models import _builder

    noted: list[Callable] = []
    own = _builder.load_pretrained
    _builder.load_pretrained = lambda *_, filter_fn=None, **__: noted.append(filter_fn or _as_it_is)
    try:
        yield noted
    finally:
        _builder.load_pretrained = own


def _as_it_is(tensors: dict[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    return tensors


def _holding(net: nn.Module, names: set[str]) -> nn.Module:
    """Return the parts of a network that hold the parameters of these names and no others, in the network's order."""

    def parts(module: nn.Module, prefix: str) -> Iterator[nn.Module]:
        inside = {f"{prefix}{name}" for name, _ in module.named_parameters()}
        if inside and inside <= names:
            yield module
            return
        own = [p for name, p in module.named_parameters(recurse=False) if f"{prefix}{name}" in names]
        if own:
            yield nn.ParameterList(own)
        for name, child in module.named_children():
            yield from parts(child, f"{prefix}{name}.")

    found = list(parts(net, ""))
    return found[0] if len(found) == 1 else nn.ModuleList(found)


def _coarsest(net: nn.Module, size: int) -> int:
    """Return the side of the smallest image that leaves something to average."""
    strides = [info["reduction"] for info in getattr(net, "feature_info", None) or [] if "reduction" in info]
    return min(size, max(strides, default=size))


def _several(names: str | list[str] | tuple[str, ...] | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or [])


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
