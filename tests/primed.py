"""Imported where commands are forked from: what most of them compose is remembered before they are."""

import gc
import os
import sys
from pathlib import Path

import composition  # noqa: F401
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from ssl_cli.config.jobs import slug
from ssl_cli.config.paths import conf_dir
from ssl_cli.config.schema import SCHEMAS

FEW_PROBES = ["~probes.linear", "~probes.propagate"]
MOST = {
    "train": [
        *([], ["dataset=shapes"], ["method=simclr"], ["method=simclr", "dataset=shapes"], ["method=supervised"]),
        *(["method=supervised", "dataset=shapes"], ["method=simclr", "dataset=folder"]),
        *(["method=moco", "dataset=shapes"], ["method=moco", "dataset=shapes", *FEW_PROBES], FEW_PROBES),
    ],
    "probe": [["probe=knn"], ["probe=linear"]],
}

here = str(Path(__file__).parent)
if os.environ.get("PYTHONPATH") == here:  # a fork server's, whose children are not to have it
    del os.environ["PYTHONPATH"]
    sys.path.remove(here)
OmegaConf.register_new_resolver("slug", slug, replace=True)
for command, choices in MOST.items():
    ConfigStore.instance().store(name=f"_{command}_schema", node=SCHEMAS[command])
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for chosen in choices:
            compose(command, overrides=chosen)
gc.freeze()  # a collection in a fork would copy every page
