"""Read the ``config.yaml`` of a run, which anybody may have written."""

from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ssl_cli.config.moved import with_new_names
from ssl_cli.config.schema import GROUPS
from ssl_cli.errors import UserError

CONFIG_LIMIT = 1 << 18  # characters of a config.yaml; those of ssl have a few thousand
CONFIG_DEPTH = 50  # lists and mappings within each other, likewise


def read_config(file: Path) -> DictConfig:
    """Read a config that a run has written, or somebody else in its place: small, and without YAML's aliases.

    A few lines of aliases of aliases are billions of nodes.

    Raises:
        UserError: it cannot be read, or is no config that ssl writes.
    """
    try:
        text = file.read_text(encoding="utf-8")
        if len(text) > CONFIG_LIMIT:
            raise UserError(f"{file} is {len(text):,} characters long, far more than a config that ssl writes")
        if "${" in text:
            raise UserError(f"{file} holds an interpolation (${{...}}), which ssl never writes: it is refused")
        depth = 0
        for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.AliasEvent):
                raise UserError(f"{file} has YAML aliases (*name), which ssl never writes: it is refused")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > CONFIG_DEPTH:  # the scanner's time grows with the square of it
                raise UserError(f"{file} is nested far deeper than a config that ssl writes")
        config = OmegaConf.create(with_new_names(OmegaConf.to_container(OmegaConf.create(text))))
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        raise UserError(f"{file} is damaged: {' '.join(str(error).split())}") from error
    if not isinstance(config, DictConfig):
        raise UserError(f"{file} is damaged: it holds no settings")
    if lacking := [group for group in GROUPS if not isinstance(config.get(group), DictConfig)]:
        raise UserError(f"{file} is damaged: it has no settings of {', '.join(lacking)}")
    return config
