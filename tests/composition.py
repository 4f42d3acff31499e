"""What Hydra makes of the shipped files is remembered: it takes a fifth of a second, and tests want it by the hundred.

Values that are typed are set anew each time. Where a test brings config files of its own nothing is remembered.
Processes that tests fork share what was remembered before.
"""

import copy

from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl

from ssl_cli.config.paths import conf_dir

SHIPPED = {"hydra.conf", str(conf_dir()), None, ""}  # Hydra's own, ours, the schemas


def remember() -> None:
    """Let Hydra take from memory which files a choice of options means, and what they are together."""
    create, merge = defaults_list._create_defaults_list, ConfigLoaderImpl._compose_config_from_defaults_list
    trees, merged = {}, {}

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

    defaults_list._create_defaults_list = created
    ConfigLoaderImpl._compose_config_from_defaults_list = composed


def _shipped(repo) -> bool:
    return {source.path.removeprefix("file://").removeprefix("pkg://") for source in repo.get_sources()} <= SHIPPED


remember()
