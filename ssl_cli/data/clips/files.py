"""The user's own files of video: a folder of them, cut into clips."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ssl_cli.data.clips.base import ClipData
from ssl_cli.data.clips.decode import check_installed
from ssl_cli.data.clips.layout import annotated, list_videos
from ssl_cli.data.clips.store import Stored, store
from ssl_cli.data.images.files.names import as_text, few, natural
from ssl_cli.errors import UserError, did_you_mean

CHOICES = {
    "layout": ("auto", "splits", "classes", "flat"),
    "on_error": ("stop", "skip"),
    "split_by": ("file", "time"),
    "channels": (1, 3),
}
STRETCHES = 10  # that each file is cut into where splits are by time


def load(
    root: str,
    layout: str = "auto",
    frames: int = 16,
    view_frames: int = 8,
    fps: float = 8.0,
    storage_size: int = 64,
    channels: int = 3,
    clips_per_file: int | None = None,
    split_by: str = "file",
    labels_file: str | None = None,
    file_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    on_error: str = "stop",
    storage_limit: int = 4 << 30,
    cache_dir: str | None = None,
) -> ClipData:
    """Load a folder of video files: clips of ``frames / fps`` seconds that follow each other, with the file's label.

    Args:
        root: the folder.
        layout: see `layout.list_videos`.
        frames: of a clip, as stored.
        view_frames: that a network sees of it.
        fps: stored frames a second, whatever the rate of a file is.
        storage_size: side of the stored squares, in pixels.
        channels: 1 (grey) or 3 (RGB).
        clips_per_file: that are kept of each, evenly spaced; None: all.
        split_by: ``file``: all clips of a file (or of a group) stay in one split; ``time``: each file is cut into ten
            stretches of time, and each of them stays in one split.
        labels_file: a table with a row a file, see `layout.annotated`; folders are then neither classes nor splits.
        file_column: of this table; None: by a usual name; and so are the three below.
        label_column: of labels.
        split_column: of train, val, test.
        group_column: of films, persons, ...: a group never lies in two splits.
        on_error: at a file that cannot be used, ``stop`` or ``skip`` it.
        storage_limit: bytes of clips that are held in memory; more are memory-mapped.
        cache_dir: where the clips are kept; by default in the user's cache directory.

    Raises:
        UserError: PyAV is not installed, there is no such folder or no file in it, a file cannot be used, or none is as
            long as a clip; settings contradict each other.
    """
    check_installed()
    given = {"layout": layout, "on_error": on_error, "split_by": split_by, "channels": channels}
    for key, value in given.items():
        if value not in CHOICES[key]:
            known = [str(word) for word in CHOICES[key]]
            raise UserError(f"dataset.{key}={value} is not one of {', '.join(known)}{did_you_mean(str(value), known)}")
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise UserError(f"dataset.root={root} is not a folder; write dataset.root=DIR, the folder with your videos")
    columns = {"file": file_column, "label": label_column, "split": split_column, "group": group_column}
    if labels_file is None and (typed := next((kind for kind, name in columns.items() if name is not None), None)):
        raise UserError(f"dataset.{typed}_column is of a table of labels; write dataset.labels_file=FILE.csv, too")
    if labels_file is not None and layout not in ("auto", "flat"):
        raise UserError(
            f"dataset.layout={layout} takes labels from folders, and dataset.labels_file has some, too; leave one out"
        )
    listing = (
        list_videos(folder, layout)
        if labels_file is None
        else annotated(folder, Path(labels_file).expanduser(), columns)
    )
    if split_by == "time" and listing.groups:
        raise UserError(
            f"dataset.split_by=time cuts files apart, and {labels_file} has groups, which stay in one split; write "
            "dataset.split_by=file or dataset.group_column=none"
        )
    names, labels, splits = zip(*listing.entries, strict=True)
    found = store(
        folder,
        names,
        frames=frames,
        fps=float(fps),  # 8 and 8.0 are one place in the cache
        size=storage_size,
        channels=channels,
        per_file=clips_per_file,
        on_error=on_error,
        storage_limit=storage_limit,
        cache_dir=Path(cache_dir).expanduser() if cache_dir else None,
    )
    if not len(found.clips):
        why = next(iter(found.broken.values()), f"the longest is shorter than {frames / fps:g} seconds")
        raise UserError(
            f"no file in dataset.root={root} has a clip of {frames} frames at {fps:g} a second ({why}); write fewer "
            "dataset.frames"
        )
    of = found.of.tolist()
    classes = tuple(sorted({label for label in labels if label is not None}, key=natural))
    number = {None: -1} | {name: i for i, name in enumerate(classes)}
    return ClipData(
        name=as_text(folder.resolve().name),
        clips=found.clips,
        labels=torch.tensor([number[labels[i]] for i in of]),
        classes=classes,
        splits={
            split: torch.tensor([row for row, i in enumerate(of) if splits[i] == split], dtype=torch.int64)
            for split in sorted({"train", *splits})
        },
        view_frames=view_frames,
        fps=float(fps),
        files=tuple(str(folder / names[i]) for i in of),
        start=found.start,
        groups=_groups(found, split_by, [listing.groups.get(name, name) for name in names]),
        skipped=len(found.broken),
        mapped="" if found.mapped is None else as_text(found.mapped),
        note="; ".join(filter(None, [listing.note, *_facts(found, names, frames / fps)])),
    )


def _groups(found: Stored, split_by: str, of_files: Sequence[str]) -> torch.Tensor:
    """Return numbers [N] of what stays in one split: files that are of one group, or a tenth of a file."""
    number = {name: i for i, name in enumerate(dict.fromkeys(of_files))}
    groups = torch.tensor([number[of_files[i]] for i in found.of.tolist()])
    if split_by == "file":
        return groups
    count = found.of.bincount()[found.of]  # clips of each one's file
    place = torch.cat([torch.arange(n) for n in found.of.bincount().tolist()])
    return found.of * STRETCHES + place * STRETCHES // count


def _facts(found: Stored, names: Sequence[str], seconds: float) -> list[str]:
    """Return what the user should know of the files, each fact with their names."""
    words = {
        "short": f"shorter than a clip of {seconds:g} seconds, left out",
        "uneven": "of a variable frame rate, read by their time stamps",
        "turned": "turned upright, as they say",
    }
    facts = [
        f"{len(at):,} file{'s' * (len(at) != 1)} {words[kind]}: {few(as_text(names[i]) for i in at)}"
        for kind, at in found.notes.items()
        if at
    ]
    broken = [f"{as_text(names[i])} ({reason})" for i, reason in found.broken.items()]
    return [*facts, f"broken: {few(broken)}"] if broken else facts
