"""What to type for the data set that a stored config has."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_cli.config.moved import with_new_names
from ssl_cli.config.paths import conf_dir
from ssl_cli.system import plain_yaml


def dataset_settings(node: Mapping[str, Any] | None, name: str = "") -> dict[str, Any]:
    """Return ``dataset=OPTION``, and where its files are if the config says so, of a stored ``dataset`` node.

    Args:
        node: as stored; None: unknown.
        name: what the results call it; it counts if the node does not say. Of a data set of the user's own, whose
            option is not known, it is ``NAME``.
    """
    node = with_new_names(node or {})
    files = sorted((conf_dir() / "dataset").glob("[!_]*.yaml"))
    for file in files:
        declared = plain_yaml.loads(file.read_text(encoding="utf-8"))
        if all(key in node and declared.get(key) == node[key] for key in ("_target_", *{"name"} & declared.keys())):
            root = node.get("root")
            return {"dataset": file.stem} | ({} if root is None else {"dataset.root": root})
    return {"dataset": name if "_target_" not in node and name in {file.stem for file in files} else "NAME"}


def moved_root(node: Mapping[str, Any] | None, env: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's ``dataset`` node whose relative ``root`` counts from where the run was started, if it is not here.

    Args:
        node: as stored; an older ssl stored paths as they were typed.
        env: the run's ``env.json``; ``{}``: unknown.
    """
    node = dict(node or {})
    for key in ("root", "targets"):
        path, start = node.get(key), env.get("directory")
        if isinstance(path, str) and isinstance(start, str) and not Path(path).expanduser().exists():
            there = Path(start, path)
            if not path.startswith("~") and there.exists():
                node[key] = os.fspath(there)
    return node
