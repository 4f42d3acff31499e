"""Composing a config costs a fraction of what it does in Hydra: it takes a third of a second, and tests want it by the
hundred.

The shipped files are read once, what Hydra makes of a choice of them is remembered, and OmegaConf's nodes are copied
without being built and checked anew. Values that are typed are set anew each time. Where a test brings config files of
its own only what the shipped files say is remembered. Processes that tests fork share what was remembered before.
`hydra_alone` takes all of it back: tests/config/test_configs.py compares.
"""

import contextlib
import copy
import itertools
from collections import defaultdict
from unittest import mock

from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.default_element import ResultDefault
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, ListConfig, OmegaConf, flag_override
from omegaconf.base import Box, Metadata
from omegaconf.nodes import ValueNode

from ssl_cli.config.paths import conf_dir

SHIPPED = {"hydra.conf", str(conf_dir()), None, ""}  # Hydra's own, ours, the schemas
REPLACED = []


def replace(owner, name: str, new) -> None:
    REPLACED.append(mock.patch.object(owner, name, new, create=True))
    REPLACED[-1].start()


@contextlib.contextmanager
def hydra_alone():
    """Compose as Hydra does, within."""
    for each in REPLACED:
        each.stop()
    try:
        yield
    finally:
        for each in REPLACED:
            each.start()


def copy_quickly() -> None:
    """Give OmegaConf's nodes a deepcopy that does as theirs, attribute by attribute."""

    def of_metadata(self, memo):
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        copied.flags = None if self.flags is None else {**self.flags}
        caches = copy.deepcopy({**self.resolver_cache}, memo) if self.resolver_cache else {}
        copied.resolver_cache = defaultdict(dict, caches)
        return copied

    def of_value(self, memo):  # the parent is kept, as by OmegaConf
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__, _metadata=of_metadata(self._metadata, memo), _flags_cache=None)
        return copied

    def of_container(self, memo):
        copied = of_value(self, memo)

        def child(node):
            node = node.__deepcopy__(memo)
            node.__dict__["_parent"] = copied
            return node

        content = self.__dict__["_content"]
        if isinstance(content, dict):
            copied.__dict__["_content"] = {key: child(node) for key, node in content.items()}
        elif isinstance(content, list):
            copied.__dict__["_content"] = [child(node) for node in content]
        return copied

    replace(Metadata, "__deepcopy__", of_metadata)
    for kind in (DictConfig, ListConfig):
        replace(kind, "__deepcopy__", of_container)
    for kind in ValueNode.__subclasses__():
        replace(kind, "__deepcopy__", of_value)


def remember() -> None:
    """Let Hydra take from memory what a file says, what a choice of options means, and what these are together."""
    load, create = ConfigRepository.load_config, defaults_list._create_defaults_list
    merge = ConfigLoaderImpl._compose_config_from_defaults_list
    files, trees, merged = {}, {}, {}

    def loaded(self, config_path):  # what is only read; `placed` copies what it hands on
        ours = [source for source in self.sources if _is_shipped(source)]
        if any(source.is_config(config_path) for source in self.sources if source not in ours):
            return load(self, config_path)
        key = (config_path, *((source.path, source.provider) for source in ours))
        if key not in files:
            read = load(self, config_path)
            if read is None or read.path.startswith("structured"):
                return read
            files[key] = read
        return files[key]

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
            first = [*itertools.takewhile(lambda item: item.config_path.startswith("hydra/"), defaults)]
            if 0 < len(first) < len(defaults):  # Hydra's own settings, which are the same beside all others
                made = ConfigResult("", "", composed(self, first, repo), {"package": ""}, is_schema_source=True)
                begin = ResultDefault(config_path="hydra/config", package="")
                with mock.patch.dict(repo.cache, {"config_path=hydra/config": made}):
                    made = _merged(merge, self, [begin, *defaults[len(first) :]], repo)
            else:
                made = _merged(merge, self, defaults, repo)
            merged[key] = made
        return copy.deepcopy(merged[key])

    replace(ConfigRepository, "load_config", loaded)
    replace(defaults_list, "_create_defaults_list", created)
    replace(ConfigLoaderImpl, "_compose_config_from_defaults_list", composed)


def waste_nothing() -> None:
    """Spare Hydra work of which nothing is used."""
    place, known = ConfigLoaderImpl._load_single_config, defaults_list._create_interpolation_map

    def placed(self, default, repo):
        key = f"config_path={default.config_path}"
        own = copy.copy(read := repo.load_config(default.config_path))
        own.config = copy.deepcopy(read.config)
        with mock.patch.dict(repo.cache, {key: own}):
            return place(self, default, repo)

    def embedded(result, package):  # as Hydra's, which copies the settings once more
        package = result.header["package"] if package is None else package
        if package:
            config, result = OmegaConf.create(), copy.copy(result)
            with flag_override(config, "no_deepcopy_set_nodes", True):
                OmegaConf.update(config, package, result.config, merge=False)
            result.config = config
        return result

    def needed(overrides, defaults, self_added):
        wanted = any(item.is_interpolation() for item in defaults if not item.is_self())
        return known(overrides, defaults, self_added) if wanted else None

    replace(ConfigLoaderImpl, "_load_single_config", placed)
    replace(ConfigLoaderImpl, "_embed_result_config", staticmethod(embedded))
    replace(defaults_list, "_create_interpolation_map", needed)


def _merged(merge, *args):
    """Merge as Hydra does, but tell each node of its parent once, not after each file; the time is left open."""
    with mock.patch.object(Box, "_re_parent", lambda self: None):
        made = merge(*args)
    made._re_parent()
    OmegaConf.clear_cache(made)  # merging asks for the default directory, and with it for the time
    return made


def _shipped(repo) -> bool:
    return all(map(_is_shipped, repo.get_sources()))


def _is_shipped(source) -> bool:
    return source.path.removeprefix("file://").removeprefix("pkg://") in SHIPPED


copy_quickly()
remember()
waste_nothing()
