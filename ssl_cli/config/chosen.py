"""What to type for the data set that a stored config has."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_cli.config.moved import with_new_names
from ssl_cli.config.paths import conf_dir
from ssl_cli.system import plain_yaml

FILES = (
    *("root", "test_root", "labels_file", "file"),
    *("text_column", "file_column", "label_column", "split_column", "group_column"),
)


def dataset_settings(node: Mapping[str, Any] | None, name: str = "") -> dict[str, Any]:
    """Return ``dataset=OPTION``, and the files if the config says so, of a stored ``dataset`` node.

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
            return {"dataset": file.stem} | {f"dataset.{key}": node[key] for key in FILES if node.get(key) is not None}
    return {"dataset": name if "_target_" not in node and name in {file.stem for file in files} else "NAME"}


def moved_root(node: Mapping[str, Any] | None, env: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's ``dataset`` node whose relative paths count from where the run was started, if they are not here.

    Args:
        node: as stored; an older ssl stored paths as they were typed.
        env: the run's ``env.json``; ``{}``: unknown.
    """
    node = dict(node or {})
    for key in ("root", "test_root", "labels_file", "targets", "file", "tokenizer"):
        path, start = node.get(key), env.get("directory")
        if isinstance(path, str) and isinstance(start, str) and not Path(path).expanduser().exists():
            there = Path(start, path)
            if not path.startswith("~") and there.exists():
                node[key] = os.fspath(there)
    return node


def moved_along(node: Mapping[str, Any], root: str) -> dict[str, Any]:
    """Return a ``dataset`` node whose other files are as far from its root as they were from the one before.

    Args:
        node: with its root where the inputs are now.
        root: where they were.

    Returns:
        The node; a file stays where it is if it is there, or nowhere.
    """
    node = dict(node)
    for key in ("test_root", "labels_file", "targets"):
        path = node.get(key)
        if isinstance(path, str) and not Path(path).expanduser().exists():
            there = Path(os.path.normpath(Path(node["root"], os.path.relpath(path, root))))
            node[key] = os.fspath(there) if there.exists() else path
    return node
