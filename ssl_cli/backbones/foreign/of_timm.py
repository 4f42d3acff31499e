"""Where a network of timm has its weights from, and what belongs to them."""

from pathlib import Path
from typing import Any

from ssl_cli.backbones.foreign import fetch, read
from ssl_cli.backbones.foreign.named import PUBLISHED, file_named, unknown_name
from ssl_cli.backbones.foreign.origin import Origin
from ssl_cli.errors import UserError, did_you_mean


def origin(name: str, weights: str) -> Origin:
    """Return the file that is meant, which is fetched if timm publishes it and it is not here, and what belongs to it.

    Args:
        name: of the network, with or without a tag.
        weights: ``pretrained``, a file, or a directory with ``config.json``.

    Raises:
        UserError: timm does not know the network or the tag, the file is not there, or of another network.
    """
    config, path = published(name), file_named(weights)
    if path is not None:
        stated = _stated(path, name)
        config, file, label = {**config, **stated}, read.weights_in(path), str(path)
        given = "license" in stated or "." in name
    elif weights == PUBLISHED:
        file, label, given = *_fetched(name, config), True
    else:
        raise UserError(f"backbone.weights={weights} is neither a file nor a directory nor {PUBLISHED}")
    return Origin(
        weights=label,
        file=str(file),
        licence=config.get("license"),
        assumed=not given,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        size=config["input_size"][-1],
        interpolation=config["interpolation"],
    ).stating(read.about(file))


def published(name: str) -> dict[str, Any]:
    """Return what timm says of a network's own weights, those of its tag or the default ones.

    Raises:
        UserError: there is no such network, or no such tag.
    """
    import timm

    if any(letter in name for letter in "/\\:") or not timm.is_model(name):
        raise unknown_name(name)
    known = timm.models.get_arch_pretrained_cfgs(name)
    if "." in name and name not in known:
        tags = ", ".join(known) or "none"
        raise UserError(f"timm has no weights {name}{did_you_mean(name, known)} (of this network it has {tags})")
    config = timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()
    return config.to_dict()


def _stated(path: Path, name: str) -> dict[str, Any]:
    """Return what the ``config.json`` of a directory says of its weights; ``{}`` where there is none."""
    config = read.config_beside(path)
    architecture = config.get("architecture")
    if architecture not in (None, name.split(".")[0]):
        raise UserError(f"{path} holds weights of {architecture}, not of {name}; write backbone.name={architecture}")
    stated = config.get("pretrained_cfg", config)
    known = {"license": str, "mean": list, "std": list, "input_size": list, "interpolation": str}
    return {
        key: stated[key]
        for key, kind in known.items()
        if isinstance(stated, dict) and isinstance(stated.get(key), kind)
    }


def _fetched(name: str, config: dict[str, Any]) -> tuple[Path, str]:
    """Return the file of timm's own weights, and what they are called."""
    repository = config.get("hf_hub_id")
    if config.get("custom_load") or not (repository or config.get("url")):
        raise UserError(
            f"timm has no weights of {name} that others can read; write backbone.weights=FILE, or another backbone.name"
        )
    if repository:
        return fetch.from_hub(repository, config.get("hf_hub_filename")), repository
    import torch

    address = config["url"][0] if isinstance(config["url"], (tuple, list)) else config["url"]
    return fetch.from_address(address, Path(torch.hub.get_dir()) / "checkpoints"), f"timm's {name}"
