"""``backbone.weights``: what belongs to weights that somebody else has trained becomes the run's, unless typed."""

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from ssl_cli.backbones.foreign.belongings import of_inputs
from ssl_cli.backbones.foreign.named import file_named
from ssl_cli.backbones.foreign.origin import Origin
from ssl_cli.config.build import target_of, without_annotations


def with_belongings(config: DictConfig, typed: Sequence[str], by_experiment: bool) -> DictConfig:
    """Complete a config whose backbone starts from foreign weights: with the settings that these were trained with.

    Args:
        config: as composed and checked.
        typed: the overrides of the command line; what they set keeps its say.
        by_experiment: whether an experiment was chosen, whose values keep theirs.

    Raises:
        UserError: the weights are not there, or their file cannot be read.
    """
    origin = origin_of(config)
    if origin is None:
        return config
    config = config.copy()
    if (path := file_named(str(config.backbone.weights))) is not None:
        config.backbone.weights = str(path.absolute())  # a run may be gone on with from another directory
    keys = {item.lstrip("+~").split("=")[0] for item in typed}
    inputs = of_inputs(origin, OmegaConf.to_container(config.dataset), by_experiment)
    for group, settings in (("backbone", origin.settings), ("dataset", inputs)):
        for key, value in settings.items():
            if key in config[group] and f"{group}.{key}" not in keys:
                OmegaConf.update(config, f"{group}.{key}", value)
    return config


def origin_of(config: DictConfig) -> Origin | None:
    """Return where the weights of a config's backbone come from; None for random ones, and for those of ``init``."""
    node = without_annotations(OmegaConf.to_container(config.backbone, resolve=True))
    if node.get("weights") is None or config.init is not None:
        return None
    ask = getattr(target_of(node), "origin_of", None)
    del node["_target_"]
    return None if ask is None else ask(**node)
