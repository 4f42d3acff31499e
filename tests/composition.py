"""Composing a config costs a fraction of what it does in Hydra: it takes a third of a second, and tests want it by the
hundred.

The shipped files are read once, what Hydra makes of a choice of them is remembered, and OmegaConf's nodes are copied
without being built and checked anew. Values that are typed are set anew each time. Where a test brings config files of
its own nothing is remembered. Processes that tests fork share what was remembered before.
"""

import copy
from collections import defaultdict

from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from omegaconf import DictConfig, ListConfig
from omegaconf.base import Metadata
from omegaconf.nodes import ValueNode

from ssl_cli.config.paths import conf_dir

SHIPPED = {"hydra.conf", str(conf_dir()), None, ""}  # Hydra's own, ours, the schemas


def copy_quickly() -> None:
    """Give OmegaConf's nodes a deepcopy that does as theirs, attribute by attribute."""

    def of_metadata(self, memo):
        copied = object.__new__(type(self))
        caches = {key: copy.deepcopy(value, memo) for key, value in self.resolver_cache.items()}
        fresh = {"flags": None if self.flags is None else {**self.flags}, "resolver_cache": defaultdict(dict, caches)}
        copied.__dict__.update(self.__dict__, **fresh)
        return copied

    def of_value(self, memo):  # the parent is kept, as by OmegaConf
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__, _metadata=of_metadata(self._metadata, memo), _flags_cache=None)
        return copied

    def of_container(self, memo):
        copied = of_value(self, memo)

        def child(node):
            node = copy.deepcopy(node, memo)
            node.__dict__["_parent"] = copied
            return node

        content = self.__dict__["_content"]
        if isinstance(content, dict):
            copied.__dict__["_content"] = {key: child(node) for key, node in content.items()}
        elif isinstance(content, list):
            copied.__dict__["_content"] = [child(node) for node in content]
        return copied

    Metadata.__deepcopy__ = of_metadata
    DictConfig.__deepcopy__ = ListConfig.__deepcopy__ = of_container
    for kind in ValueNode.__subclasses__():
        kind.__deepcopy__ = of_value


def remember() -> None:
    """Let Hydra take from memory what a file says, what a choice of options means, and what these are together."""
    load, create = ConfigRepository.load_config, defaults_list._create_defaults_list
    merge = ConfigLoaderImpl._compose_config_from_defaults_list
    files, trees, merged = {}, {}, {}

    def loaded(self, config_path):
        if not _shipped(self):
            return load(self, config_path)
        key = (config_path, *((source.path, source.provider) for source in self.sources))
        if key not in files:
            read = load(self, config_path)
            if read is None or read.path.startswith("structured"):
                return read
            files[key] = read
        return copy.deepcopy(files[key])

    def created(repo, config_name, overrides, prepend_hydra, skip_missing):
        chosen = (overrides.override_choices, overrides.append_group_defaults, overrides.deletions)
        key = repr((config_name, prepend_hydra, skip_missing, chosen))
        if not _shipped(repo):
            return create(repo, config_name, overrides, prepend_hydra, skip_missing)
        if key not in trees:
            made = create(repo, config_name, overrides, prepend_hydra, skip_missing)
            trees[key] = copy.deepcopy(({k: v for k, v in vars(overrides).items() if k != "config_overrides"}, made))
        state, made = copy.deepcopy(trees[key])
        vars(overrides).update(state)
        return made

    def composed(self, defaults, repo):
        if not _shipped(repo):
            return merge(self, defaults, repo)
        key = repr(defaults)
        if key not in merged:
            merged[key] = merge(self, defaults, repo)
        return copy.deepcopy(merged[key])

    ConfigRepository.load_config = loaded
    defaults_list._create_defaults_list = created
    ConfigLoaderImpl._compose_config_from_defaults_list = composed


def _shipped(repo) -> bool:
    return {source.path.removeprefix("file://").removeprefix("pkg://") for source in repo.get_sources()} <= SHIPPED


copy_quickly()
remember()
