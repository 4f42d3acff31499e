"""Build a backbone for the inputs of a data set."""

import contextlib
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from hydra.utils import get_object

from ssl_cli.backbones.adapt import KEYS
from ssl_cli.backbones.base import Backbone
from ssl_cli.config.build import instantiate, without_annotations
from ssl_cli.data.info import DataInfo

ORDINARY = {"weights": None, "zero_init_residual": False}  # settings of weights that are random, and nothing else


def build_backbone(node: Mapping[str, Any], info: DataInfo, seed: int, *, pretrained: bool) -> Backbone:
    """Build a backbone with the weights that its settings name, or with random ones.

    Args:
        node: the settings of the ``backbone`` group.
        info: the inputs that it will see.
        seed: of the random weights; it seeds PyTorch's own generator.
        pretrained: whether to take the weights that ``node`` names under ``weights``. False: all weights are random,
            whatever it names, and so are those that training starts at zero (``zero_init_residual``), without which a
            ResNet's residual branches would add nothing; this is the baseline that a run is measured against.

    The constructor is told what `DataInfo.for_network` has: of images ``in_channels``, and their side in pixels,
    ``image_size``, where it has such a parameter.

    Raises:
        UserError: this backbone cannot take the inputs, see `DataInfo.check_backbone`.
    """
    torch.manual_seed(seed)
    node = {key: value for key, value in node.items() if key not in KEYS}
    told = info.for_network(lambda name: asks_for(node["_target_"], name))
    backbone: Backbone = instantiate(node if pretrained else _ordinary(node), **told)
    info.check_backbone(backbone)
    return backbone


def _ordinary(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings, also of a backbone within one, with those of weights that are random, and nothing else."""
    return {
        key: ORDINARY[key] if key in ORDINARY else _ordinary(value) if isinstance(value, Mapping) else value
        for key, value in node.items()
    }


def asks_for(target: str, name: str) -> bool:
    """Return whether the constructor of a class, as a config names it, has such a parameter."""
    with contextlib.suppress(Exception):  # what cannot be found is said where it is built
        return name in inspect.signature(get_object(target)).parameters
    return False


def called_with(node: Mapping[str, Any], backbone: Backbone) -> tuple[str, dict[str, Any]]:
    """Return the class of a backbone, and the arguments that build an empty one of the same shape, as plain values.

    Args:
        node: the settings that it was built by.
        backbone: the network, merged if it was adapted.
    """
    settings = {key: value for key, value in without_annotations(node).items() if key not in KEYS}
    target = settings.pop("_target_")
    settings.pop("_recursive_", None)  # how it is built of a config
    settings |= {"weights": None} if "weights" in settings else {}
    told = {name: getattr(backbone, name) for name in backbone.told if hasattr(backbone, name)}
    return target, {**told, **settings}
