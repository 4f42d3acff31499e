"""``dataset.layout=auto``: the one layout that the names of folders allow.

If they allow several, with different files to train on, this asks for the right one; it never guesses.
"""

from collections.abc import Iterable
from typing import NoReturn

from ssl_cli.data.images.files.names import as_text, few, last
from ssl_cli.data.images.files.split_names import assigned, is_split, meaning, mentioned
from ssl_cli.data.images.files.tree import Tree
from ssl_cli.errors import UserError

DEEPEST = 3  # levels below the folder to search for split folders
SPLITS = "dataset.layout=splits"
CLASSES = "dataset.layout=classes (each folder is a class)"
FLAT = "dataset.layout=flat (all {noun}s, without labels)"
UNSPLIT = "dataset.layout=flat (no folder is a split)"


def guessed(tree: Tree, top: str) -> str:
    """Return ``splits``, ``classes`` or ``flat`` for the content of a folder of the tree.

    Raises:
        UserError: the names allow more than one layout; the message names them and says what to write.
    """
    flat = FLAT.format(noun=tree.noun)
    named = [folder for folder in tree.folders(top) if is_split(folder)]
    if len(named) > 1 or any(tree.files_below(folder) for folder in named):
        splits = assigned(named)
        _check_splits(tree, top, splits, f"{CLASSES}, or {flat}")
        _check_depth(tree, splits)
        return "splits"
    others = [folder for folder in tree.inside(top) if meaning(last(folder)) is None]
    _check_hidden_splits(tree, others, f"{CLASSES}, or {flat}")
    if not others or (len(others) == 1 and len(tree.inside(others[0])) < 2):
        return "flat"
    if loose := tree.files_in(top):
        _ask(
            tree,
            f"has {tree.counted([], loose)} beside {tree.counted(others, [])}; move what is stray, or write {CLASSES} "
            f"(what is beside them has no label), or {flat}",
        )
    if sum(bool(tree.files_in(folder)) for folder in others) < 2:
        deep = next(folder for folder in others if tree.inside(folder))
        _ask(
            tree,
            f"has folders that are two deep ({_listed(tree.inside(deep))}); write dataset.layout=classes (the outer "
            f"folders are the classes: {_listed(map(last, others))}), or {flat}, or dataset.root=DIR with the folder "
            "that holds the classes",
        )
    return "classes"


def guessed_splits(tree: Tree, top: str) -> str:
    """Return ``splits`` or ``flat`` for a folder of images with classes in a table.

    Raises:
        UserError: as `guessed`.
    """
    named = [folder for folder in tree.folders(top) if is_split(folder) and tree.files_below(folder)]
    if named:
        _check_splits(tree, top, assigned(named), UNSPLIT)
        return "splits"
    _check_hidden_splits(tree, tree.inside(top), UNSPLIT)
    return "flat"


def _check_splits(tree: Tree, top: str, splits: dict[str, str], otherwise: str) -> None:
    """Ask if folders with names of splits could be something else, or if there are files beside them."""
    if "train" not in splits.values():
        _ask(tree, f"has {_listed(splits)} and no train; rename a folder to train, or write {otherwise}")
    others = [folder for folder in tree.inside(top) if meaning(last(folder)) is None]
    if others or tree.files_in(top):
        _ask(
            tree,
            f"has {_listed(splits)} beside {tree.counted(others, tree.files_in(top))}; write {SPLITS} (nothing but "
            f"{_listed(splits)} is used), or {otherwise}",
        )


def _check_depth(tree: Tree, splits: dict[str, str]) -> None:
    """Ask if the classes in the train folder could be the outer or the inner folders."""
    train = next(folder for folder, split in splits.items() if split == "train")
    classes = tree.inside(train)
    deep = [folder for name in classes for folder in tree.inside(name)]
    if len(deep) > 1 and not tree.files_in(train) and not any(map(tree.files_in, classes)):
        _ask(
            tree,
            f"has folders that are two deep in {as_text(train)} ({_listed(deep)}); write {SPLITS} (the outer folders "
            f"are the classes: {_listed(map(last, classes))}), or {FLAT.format(noun=tree.noun)}, or move the "
            "classes up",
        )


def _check_hidden_splits(tree: Tree, folders: list[str], otherwise: str) -> None:
    """Ask if test files could be trained on: splits lie deeper, or their names say more than the split."""
    if len({split for folder in folders for split in mentioned(last(folder))}) > 1:
        _ask(
            tree,
            f"has folders that are named like splits ({_listed(folders)}); rename them to train, val and test, or "
            f"write {otherwise}",
        )
    level = folders
    for _ in range(DEEPEST):
        for folder in level:
            inside = [inner for inner in tree.inside(folder) if is_split(inner)]
            means = {meaning(last(inner)) for inner in inside}
            if means - {"train"}:
                root = f"dataset.root={as_text(tree.root / folder)}, or " if "train" in means else ""
                _ask(
                    tree,
                    f"has split folders inside {as_text(folder)} ({_listed(inside)}); write {root}{otherwise}",
                )
        level = [inner for folder in level for inner in tree.inside(folder)]


def _listed(folders: Iterable[str]) -> str:
    return few(map(as_text, folders))


def _ask(tree: Tree, text: str) -> NoReturn:
    raise UserError(f"dataset.root={as_text(tree.root)} {text}")
