"""Build the method and the pretext of a config."""

from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from ssl_cli.backbones.adapt import adapt
from ssl_cli.backbones.build import build_backbone
from ssl_cli.backbones.foreign.origin import Origin
from ssl_cli.config.build import instantiate, target_of
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError
from ssl_cli.methods.base import Method
from ssl_cli.pretext.base import Pretext


def labelled_per_batch(batch_size: int, parts: int, mu: int, noun: str = "image") -> int:
    """Return how many inputs of a batch are labelled where ``mu`` times as many are not.

    Raises:
        UserError: each of the ``parts`` of a batch cannot hold them in this ratio.
    """
    unit = parts * (1 + mu)
    if batch_size % unit:
        fitting = max(unit, round(batch_size / unit) * unit)
        raise UserError(
            f"trainer.batch_size={batch_size} cannot hold {mu} unlabelled {noun}s for each labelled one "
            f"(method.mu={mu}){f' in each of {parts} parts' if parts > 1 else ''}; write trainer.batch_size={fitting}"
        )
    return batch_size // (1 + mu)


def build_pretext(config: DictConfig, info: DataInfo) -> Pretext:
    """Build the pretext with the run's recipe of augmentations, or with the one that it brings itself."""
    own = config.pretext.get("augment")
    return instantiate(
        pretext_settings(config.pretext), augment=instantiate(config.augment if own is None else own), data=info
    )


def pretext_settings(node: DictConfig) -> dict[str, Any]:
    """Return the arguments of a pretext; the size of its views is of the data, which know it."""
    return {key: value for key, value in OmegaConf.to_container(node, resolve=True).items() if key != "size"}


@dataclass
class Start:
    """Weights that a run's backbone starts from: those of another run."""

    weights: dict[str, Tensor]  # the state dict of the backbone
    origin: Origin | None  # where that run had its own from, if somebody else had trained these


def trains(config: DictConfig) -> bool:
    """Return whether the method of a config has any steps to do."""
    return getattr(target_of(config.method), "trains", True)


def build_method(config: DictConfig, info: DataInfo, start: Start | None = None, *, pretrained: bool = True) -> Method:
    """Build backbone and method with random weights, or the backbone with those that it is to start from.

    Args:
        config: of the run.
        info: what it knows of its inputs.
        start: weights for the backbone.
        pretrained: whether the backbone takes the weights that its settings name; False where all weights come from a
            checkpoint, which needs no other file.
    """
    node = OmegaConf.to_container(config.backbone, resolve=True)
    backbone = build_backbone(node, info, config.seed, pretrained=pretrained)
    if start is not None:  # before the method makes copies of it
        backbone.load_state_dict(start.weights)
        backbone.origin = start.origin
    adapt(backbone, node.get("adapt", "full"), node.get("lora"))
    # A method that predicts whatever the pretext makes up builds its head for it.
    predicts = "pseudo_labels" in config.method.get("_needs_", [])
    target = {"target": build_pretext(config, info).target} if predicts else {}
    return instantiate(config.method, backbone=backbone, data=info, **target)
