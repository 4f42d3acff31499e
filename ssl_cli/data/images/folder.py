"""The user's own images: a folder in any of the usual layouts."""

import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ssl_cli.data.images.base import ImageData
from ssl_cli.data.images.files import sights
from ssl_cli.data.images.files.annotations import Columns, annotated, called
from ssl_cli.data.images.files.decode import pixels_allowed, survey
from ssl_cli.data.images.files.depth import Ranges
from ssl_cli.data.images.files.layout import list_images
from ssl_cli.data.images.files.names import as_text, natural
from ssl_cli.data.images.files.storage import store
from ssl_cli.data.images.files.targets import Targets, read_targets
from ssl_cli.data.images.files.tree import Listing
from ssl_cli.distributed.group import rank
from ssl_cli.errors import UserError, did_you_mean

CHOICES = {
    "layout": ("auto", "splits", "classes", "flat"),
    "on_error": ("stop", "skip"),
    "channels": ("auto", 1, 3),
    "reading": (1, 2, 3),
}


def load(
    root: str | None,
    layout: str = "auto",
    storage_size: int | str = "auto",
    channels: int | str = "auto",
    on_error: str = "stop",
    storage_limit: int = 4 << 30,
    cache_dir: str | None = None,
    targets: str | None = None,
    target_columns: Sequence[str] | str | None = None,
    file_column: str | None = None,
    labels_file: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    test_root: str | None = None,
    value_range: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    max_pixels: int | None = None,
    reading: int = 1,
    keep_aspect: bool = False,
    audited: bool = False,
) -> ImageData:
    """Load a folder of images.

    Layouts: ``splits``, folders train/ [val/] [test/] [unlabelled/] with one folder per class inside; ``classes``, one
    folder per class; ``flat``, a folder or a tree of folders without labels. ``auto`` finds the layout, or asks if
    several are possible; the note says what was found, and what was left out. Images beside class folders, and images
    in a folder ``unlabelled``, have no label. Fewer than two classes count as no labels. If there is val/ and no test/,
    val/ is the test split.

    Args:
        root: the folder.
        layout: ``auto``, ``splits``, ``classes`` or ``flat``.
        storage_size: side of the stored images in pixels, the shorter one if they keep their aspect; ``auto``: the
            median shorter side, within 16..64.
        channels: 1, 3 or ``auto``: 1 if all images are grey.
        on_error: for a broken file, and for unusable parts of ``labels_file``: ``stop``, or ``skip`` them.
        storage_limit: bytes of decoded images to hold in memory; more are memory-mapped.
        cache_dir: where the mapped files lie; by default the user's cache directory.
        targets: a table of numbers to predict, see `targets.read_targets`; they become the factors.
        target_columns: its columns to use; None: those with numbers.
        file_column: the column of file names in ``targets`` and ``labels_file``; None: see `columns.match_files`.
        labels_file: a table of labels, see `annotations.annotated`; folders are then not classes.
        label_column: of this table; None: by a usual name, see `columns.column`.
        split_column: likewise; without one, the splits come from split folders, or are carved.
        group_column: likewise; a group never lies in two splits.
        test_root: the folder of the test images, if they are not below ``root``; all of them are test.
        value_range: [low, high], the values that become 0 and 255 in files of more than 8 bits; None: the depth that a
            file states, else one range for all files that state none (see `depth.ranges`). A mapping of ``integer``,
            ``float`` or ``all`` to [low, high]: the ranges of another data set.
        max_pixels: of a file; None: Pillow's safe limit.
        reading: version of the rules. 3 orders numbers in the names of classes by value (1, 2, 10), 2 and 1 order
            classes by their letters; 1 also has the first rules for ``layout`` and the values of pixels, for runs from
            that time.
        keep_aspect: store each image whole, not its centre square.
        audited: keep images to look at, but not to learn from: groups that lie in several splits, images of val and
            test without a class.

    Raises:
        UserError: there is no such folder or no image in it, the layout does not fit or is not the only one, or an
            image is broken.
    """
    _check_choices({"layout": layout, "on_error": on_error, "channels": channels, "reading": reading})
    if storage_size != "auto" and (not isinstance(storage_size, int) or storage_size < 1):
        raise UserError(f"dataset.storage_size={storage_size} is neither a number of pixels nor auto")
    known = _checked_ranges(value_range)
    folder = _existing(root)
    tests = None if test_root is None else _beside(folder, test_root)
    named = file_column, label_column, split_column, group_column
    columns = Columns(*(None if name is None else str(name) for name in named))
    listing = _listed(folder, layout, reading, labels_file, columns, on_error, tests, audited)
    if not listing.entries:
        raise UserError(f"dataset.root={root} has no image in it ({listing.note})")

    names, labels, splits = zip(*listing.entries, strict=True)
    table = Targets({}, "")
    if targets is not None:  # before the images: report a mistake in it at once
        callable_by = [called(name, os.fspath(folder.absolute()), tests) for name in names]
        table = read_targets(Path(str(targets)).expanduser(), callable_by, _texts(target_columns), columns.file)
    files = [os.fspath(folder / name) for name in names]
    pixels = min(reading, 2)  # the third rules are of classes
    auto_size = auto_channels = None
    if "auto" in (storage_size, channels):
        with pixels_allowed(max_pixels):
            found = survey(files, pixels)
        auto_size = found[0] if storage_size == "auto" else None
        auto_channels = found[1] if channels == "auto" else None
    images, broken, seen, mapped = store(
        folder,
        names,
        auto_size or storage_size,
        auto_channels or channels,
        on_error,
        storage_limit,
        Path(cache_dir).expanduser() if cache_dir else None,
        known,
        max_pixels,
        pixels,
        keep_aspect,
    )
    for line in sights.warnings(seen, auto_size, auto_channels) if rank() == 0 else ():  # the others see the same
        print(f"warning: {line}", file=sys.stderr)
    kept = [i for i in range(len(files)) if i not in broken]
    order = natural if reading > 2 else None
    classes = tuple(sorted({label for label in labels if label is not None}, key=order))
    number = {None: -1} | {name: i for i, name in enumerate(classes)}
    group = {name: i for i, name in enumerate(dict.fromkeys(listing.groups.values()))}
    return ImageData(
        name=as_text(folder.resolve().name),
        images=images,
        labels=torch.tensor([number[labels[i]] for i in kept]),
        classes=classes,
        splits={
            split: torch.tensor([row for row, i in enumerate(kept) if splits[i] == split], dtype=torch.int64)
            for split in sorted({"train", *splits})
        },
        factors={name: values[kept] for name, values in table.values.items()},
        files=tuple(files[i] for i in kept),
        groups=torch.tensor([group.get(listing.groups.get(names[i]), -1) for i in kept]) if group else None,
        skipped=len(broken),
        value_range=sights.ranges(seen) or None,
        mapped="" if mapped is None else as_text(mapped),
        note="; ".join(filter(None, (listing.note, table.note, *sights.facts(seen)))),
    )


def _listed(
    folder: Path,
    layout: str,
    reading: int,
    labels_file: str | None,
    columns: Columns,
    on_error: str,
    tests: Path | None,
    audited: bool,
) -> Listing:
    """Return the images, with classes and splits from a table, or from their folders."""
    if reading == 1 and (labels_file is not None or tests is not None):
        raise UserError("dataset.reading=1 knows no dataset.labels_file and no dataset.test_root; leave it out")
    if labels_file is not None:
        return annotated(folder, layout, Path(str(labels_file)).expanduser(), columns, on_error, tests, audited)
    for kind in ("label", "split", "group"):
        if getattr(columns, kind) is not None:
            raise UserError(f"dataset.{kind}_column is of a table of labels; write dataset.labels_file=FILE.csv, too")
    return list_images(folder, layout, reading, tests, audited)


def _beside(folder: Path, test_root: str) -> Path:
    """Return the folder of test images; raise ``UserError`` if it holds images to train on."""
    tests = _existing(test_root, "test_root", "test images")
    inner, outer = folder.resolve(), tests.resolve()
    if inner == outer or outer in inner.parents:
        raise UserError(
            f"dataset.root={as_text(folder)} lies in dataset.test_root={as_text(tests)}, so images that are trained on "
            "would be tested on; write another dataset.test_root=DIR"
        )
    return tests


def _checked_ranges(value_range: Any) -> Ranges:
    if value_range is None:
        return {}
    ranges = value_range if isinstance(value_range, Mapping) else {"all": value_range}
    for key, pair in ranges.items():
        listed = key in ("all", "integer", "float") and isinstance(pair, Sequence) and len(pair) == 2
        if not listed or not all(isinstance(n, (int, float)) and math.isfinite(n) for n in pair) or pair[0] >= pair[1]:
            raise UserError(f"dataset.value_range={value_range} is not [low,high], two numbers with low below high")
    return {key: (float(low), float(high)) for key, (low, high) in ranges.items()}


def _texts(names: Any) -> list[str] | None:
    """Return names as texts, whatever they look like: a column may have the name 2019."""
    if names is None:
        return None
    return [str(name) for name in (names if isinstance(names, (list, tuple)) else [names])]


def _check_choices(settings: Mapping[str, Any]) -> None:
    for key, value in settings.items():
        if value not in CHOICES[key]:
            near = did_you_mean(str(value), map(str, CHOICES[key]))
            raise UserError(f"dataset.{key}={value} is not one of {', '.join(map(str, CHOICES[key]))}{near}")


def _existing(root: str | None, key: str = "root", what: str = "images") -> Path:
    """Return the folder if it is not empty; else raise ``UserError`` with the reason."""
    advice = f"write dataset.{key}=DIR, the folder with your {what}"
    if root is None:
        raise UserError(f"dataset.{key} is not set; {advice}")
    folder = Path(root).expanduser()
    if folder.is_dir() and any(folder.iterdir()):
        return folder
    wrong = "is empty" if folder.is_dir() else "is not a folder" if folder.exists() else "does not exist"
    raise UserError(f"dataset.{key}={root} {wrong}; {advice}")
