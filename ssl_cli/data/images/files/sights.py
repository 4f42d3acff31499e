"""Findings of the decoding of all files, in lines for the user: facts for the plan, and warnings."""

from collections import Counter, defaultdict

import numpy as np

from ssl_cli.data.images.files.decode import FEW_LEVELS, Seen, stored_size
from ssl_cli.data.images.files.depth import STATED, Range

CLIPPED = 0.1  # warn from this share of values outside of the range
RARE = 0.02  # no warning for files of one range below this share of the images
SIZE_OFF = 1.125  # warn from this ratio of the median side of all files to that of a sample


def facts(seen: Counter[Seen]) -> list[str]:
    """Return how values of files with other than 8 bits became grey levels, and which pages were taken."""
    total, lines = seen.total(), []
    ranges = Counter()
    for one, count in seen.items():
        ranges[one.values] += count
    ranges.pop(None, None)
    for values, count in sorted(ranges.items()):
        lines.append(f"values {as_text(values)} become 0..255 in {_of(count, total)}")
    flat = sum(count for one, count in seen.items() if one.few and one.values is None)
    if flat > total / 2:  # no setting would change it
        lines.append(f"warning: {_of(flat, total)} have fewer than {FEW_LEVELS} levels")
    many = {one: count for one, count in seen.items() if one.pages > 1}
    if many:
        pages = sum(one.pages * count for one, count in many.items())
        files = sum(many.values())
        lines.append(f"{files} file{'s' * (files != 1)} of several pages or frames ({pages}): the first is taken")
    return lines


def ranges(seen: Counter[Seen]) -> dict[str, list[float]]:
    """Return the ranges that were found or set; with them, other files get the same grey levels."""
    return {one.source: list(one.values) for one in seen if one.source not in ("", STATED)}


def warnings(seen: Counter[Seen], auto_size: int | None, auto_channels: int | None) -> list[str]:
    """Return warnings about the images as a whole, one line each.

    Args:
        seen: findings of all files.
        auto_size: the size chosen from a sample of the files; None: the user has set it.
        auto_channels: likewise.
    """
    return [*_levels(seen), *_of_the_sample(seen, auto_size, auto_channels)]


def as_text(values: Range) -> str:
    """Return a range as 0..4095."""
    return "..".join(f"{value:.6g}" if value % 1 else f"{value:.0f}" for value in values)


def _levels(seen: Counter[Seen]) -> list[str]:
    groups, lines, total = defaultdict(Counter), [], seen.total()
    for one, count in seen.items():
        groups[one.values][one] += count
    for values, group in groups.items():
        advice = "write dataset.value_range=[low,high] of the values that matter"
        few = sum(count for one, count in group.items() if one.few)
        clipped = sum(one.clipped * count for one, count in group.items()) / group.total()
        if values and few > group.total() / 2 and few > RARE * total:
            what = f"fewer than {FEW_LEVELS} grey levels (values {as_text(values)} become 0..255)"
            lines.append(f"{_of(few, total)} have {what}; {advice}")
        if clipped > CLIPPED and group.total() > RARE * total:
            lines.append(
                f"{clipped:.0%} of the values of {_of(group.total(), total)} are outside of {as_text(values)}; {advice}"
            )
    return lines


def _of_the_sample(seen: Counter[Seen], size: int | None, channels: int | None) -> list[str]:
    lines, colour = [], sum(count for one, count in seen.items() if one.colour)
    if channels == 1 and colour:
        lines.append(f"{_of(colour, seen.total())} are in colour and become grey; write dataset.channels=3")
    if size is not None:
        sides = np.repeat([one.side for one in seen], list(seen.values()))
        median = stored_size(sides)
        if max(median, size) > SIZE_OFF * min(median, size):
            lines.append(
                f"the shorter side of the images is {median} pixels in the median, not {size} as in a sample; "
                f"write dataset.storage_size={median}"
            )
    return lines


def _of(count: int, total: int) -> str:
    return f"{count} of {total} images" if count < total else f"all {total} images"
