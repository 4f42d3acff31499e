"""Folder names that mean a split, in the words and spellings of data sets."""

import re
from collections.abc import Iterable

from ssl_cli.data.images.files.names import as_text, last
from ssl_cli.errors import UserError

_WORDS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "validate", "dev", "devel", "development"),
    "test": ("test", "tests", "testing", "holdout"),
    "eval": ("eval", "evaluation", "evaluate"),  # test; beside a test folder, val
    "unlabelled": ("unlabelled", "unlabeled"),
}
_MEANING = {word: meaning for meaning, words in _WORDS.items() for word in words}
_FILLERS = ("datasets", "dataset", "data", "folder", "images", "image", "imgs", "img", "sets", "set", "split")


def is_split(folder: str) -> bool:
    """Return whether a folder's name means a split."""
    return meaning(last(folder)) not in (None, "unlabelled")


def meaning(name: str) -> str | None:
    """Return ``train``, ``val``, ``test``, ``eval`` or ``unlabelled`` for a folder of such a name, else None.

    In any case, with a number or a filler: ``Training``, ``val2017``, ``test_images``, ``TrainSet``.
    """
    if not re.fullmatch(r"[a-z0-9 ._-]+", name.lower()):
        return None
    words = [word for word in map(_without_filler, re.findall("[a-z]+", name.lower())) if word]
    return _MEANING.get(words[0]) if len(words) == 1 else None


def mentioned(name: str) -> set[str]:
    """Return the splits among the words of a name: ``test`` for ``cats-test``."""
    found = {_MEANING.get(_without_filler(word)) for word in re.findall("[a-z]+", name.lower())}
    return found - {None, "unlabelled"}


def assigned(folders: Iterable[str]) -> dict[str, str]:
    """Return the split of each folder by its name: ``train``, ``val`` or ``test``, in this order.

    Raises:
        UserError: two folders are the same split.
    """
    means = {folder: meaning(last(folder)) for folder in folders}
    evaluation = "val" if "test" in means.values() else "test"
    splits: dict[str, str] = {}
    for folder, what in means.items():
        split = evaluation if what == "eval" else what
        if split in splits.values():
            other = next(name for name in splits if splits[name] == split)
            raise UserError(
                f"{as_text(other)} and {as_text(folder)} are both the {split} split by their names; rename one, or "
                "move it out of dataset.root"
            )
        splits[folder] = split
    return dict(sorted(splits.items(), key=lambda item: ("train", "val", "test").index(item[1])))


def _without_filler(word: str) -> str:
    for filler in _FILLERS:
        if word.endswith(filler) and word.removesuffix(filler) in ("", *_MEANING):
            return word.removesuffix(filler)
    return word
