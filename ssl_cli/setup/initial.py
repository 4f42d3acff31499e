"""``init=RUN``: training that starts from the backbone of another run, on that run's data unless told otherwise."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ssl_cli.backbones.adapt import KEYS
from ssl_cli.config.build import without_annotations
from ssl_cli.data.dataset import check_kind
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError, did_you_mean
from ssl_cli.runs.catalog import checkpoint_file
from ssl_cli.setup.parts import Start, trains
from ssl_cli.setup.restore import read_checkpoint, rebuild


def initialised(config: DictConfig, typed: Sequence[str], chosen: Sequence[str]) -> DictConfig:
    """Complete a config whose ``init`` names a run: its backbone, and unless chosen its data set and recipe.

    Its inputs, and any that a frozen backbone sees, are normalised as that run's were. ``init`` becomes the path of the
    checkpoint file.

    Args:
        config: as composed.
        typed: the overrides of the command line; those of the data set's keys keep their say.
        chosen: groups that the user has chosen, by name or through an experiment.

    Raises:
        UserError: the checkpoint cannot be read, names foreign code, or does not fit what was chosen.
    """
    file = checkpoint_file(str(config.init), "init")
    _, saved, info = read_checkpoint(file, config.trusted_modules)
    if "dataset" in chosen:
        check_kind(config.dataset, info)
    config = config.copy()
    OmegaConf.set_struct(config, False)
    backbone_typed = "backbone" in chosen or any(_is_of_backbone(_key(item)) for item in typed)
    if backbone_typed and _completed(config.backbone) != _completed(saved.backbone):
        raise UserError(
            f"init={config.init} has another backbone than the one chosen: "
            f"{_difference(saved.backbone, config.backbone)}; leave backbone out: it is taken from the run"
        )
    own = {key: config.backbone[key] for key in KEYS if key in config.backbone}
    config.backbone = {**{key: value for key, value in saved.backbone.items() if key not in KEYS}, **own}
    if "dataset" not in chosen:
        for key in ("pseudo_labels", "min_confidence"):  # these are no part of the run's data, which may be older, too
            OmegaConf.update(saved, f"dataset.{key}", config.dataset.get(key), force_add=True)
        names = [str(key) for key in saved.dataset]
        for item in typed:
            key = _key(item)
            if key.startswith("dataset."):
                if key.removeprefix("dataset.") not in names:
                    raise UserError(
                        f"{key} is no setting of {info.name}, the data set of init={config.init}"
                        f"{did_you_mean(key.removeprefix('dataset.'), names)}; choose another with dataset=NAME"
                    )
                OmegaConf.update(saved, key, OmegaConf.select(config, key))
        config.dataset = saved.dataset
        if config.pretext.get("size") is None and saved.pretext.get("size") is not None:
            config.pretext.size = saved.pretext.size
        if "augment" not in chosen:
            config.augment = saved.augment
    # On other data a backbone that is trained on adapts to their own statistics; a frozen one cannot.
    taken = "dataset" not in chosen or config.trainer.freeze_backbone or not trains(config)
    if taken:
        for key, value in info.inherited(config.dataset).items():
            config.dataset[key] = value
    if "dataset" in chosen:
        for key, value in info.brought(file.parent.parent, config.dataset).items():
            config.dataset[key] = value
    if config.name == saved.name or "name" not in {_key(item) for item in typed}:
        config.name = f"{config.name} from {saved.name}"
    config.init = str(file)
    OmegaConf.set_struct(config, True)
    return config


def initial_weights(config: DictConfig, info: DataInfo) -> Start:
    """Return the weights of the backbone that the run at ``config.init`` would be measured by.

    The whole model of that run is rebuilt and loaded strictly first, so nothing is silently left out.

    Raises:
        UserError: the checkpoint does not fit, or its weights do not take these inputs.
    """
    rebuilt = rebuild(Path(config.init), config.trusted_modules)
    info.check_fits_weights_of(rebuilt.info, f"init={config.init}")
    return Start(rebuilt.method.measured.state_dict(), rebuilt.method.backbone.origin)


def _is_of_backbone(key: str) -> bool:
    """Return whether a key says what the backbone is, and not how it is trained."""
    group, _, name = key.partition(".")
    return group == "backbone" and bool(name) and name.split(".")[0] not in KEYS


def _key(item: str) -> str:
    return item.lstrip("+~").split("=")[0]


def _completed(node: DictConfig) -> dict[str, Any]:
    """Return the settings of a backbone; those that an older version did not name are the constructor's defaults."""
    from hydra.utils import get_object

    plain = without_annotations(OmegaConf.to_container(node, resolve=True))
    plain = {key: value for key, value in plain.items() if key not in KEYS}
    try:
        parameters = inspect.signature(get_object(plain["_target_"])).parameters
    except Exception:  # a plug-in that cannot be found is reported where it is built
        return plain
    return {name: p.default for name, p in parameters.items() if p.default is not p.empty} | plain


def _difference(there: DictConfig, here: DictConfig) -> str:
    there, here = _completed(there), _completed(here)
    key = next(key for key in {**there, **here} if there.get(key) != here.get(key))
    return f"{key} is {there.get(key)} there, {here.get(key)} here"
