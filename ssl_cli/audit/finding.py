"""What an audit has found, as rows of a table. Imports no torch."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_cli.system.cells import allow_long_cells

HEADER = ("finding", "images", "leak", "conflict", "splits", "labels", "files", "detail", "what_to_do")
BETWEEN = " | "  # names of one cell
SPLITS = ("train", "val", "test")
KINDS = {  # kind -> what to do about it, where nothing worse is known of the finding
    "exact copies": "keep one of them",
    "near copies": "look at them, and keep one",
    "group leak": "give all images of the group one split",
    "suspicious label": "look at it, and correct the label if it is wrong",
    "blank": "look at it, and leave it out",
    "extreme size": "look at it: what is small is enlarged, what is large loses detail",
    "extreme aspect": "look at it: only its centre square is seen, or write dataset.keep_aspect=true",
    "extreme brightness": "look at it, and leave it out if nothing can be seen",
    "small class": "add images, or leave the class out",
    "outlier": "look at it: does it belong to the data set?",
}
LEAK = "keep those of one split only"  # what to do about copies
CONFLICT = "correct the labels, or leave all of them out"
FAIL_ON = ("leak", "conflict", "any")


@dataclass(frozen=True)
class Member:
    """One image of a finding."""

    position: int  # in the data set
    name: str  # file relative to the data set's folder, or SPLIT[number] where images are in no files
    split: str
    label: str  # "": none


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with the images that it is about."""

    kind: str  # of `KINDS`
    members: tuple[Member, ...] = ()
    detail: str = ""
    weight: float = 0.0  # among findings of a kind the heaviest come first

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that it touches, train first."""
        return tuple(split for split in SPLITS if any(one.split == split for one in self.members))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that its images have."""
        return tuple(sorted({one.label for one in self.members if one.label}))

    @property
    def leak(self) -> bool:
        """Whether it ties images of several splits together."""
        return self._of_several and len(self.splits) > 1

    @property
    def conflict(self) -> bool:
        """Whether it is about one picture with several labels."""
        return self.kind in ("exact copies", "near copies") and len(self.labels) > 1

    @property
    def advice(self) -> str:
        """What to do about it."""
        if self.kind not in ("exact copies", "near copies"):
            return KINDS[self.kind]
        return "; ".join([CONFLICT] * self.conflict + [LEAK] * self.leak) or KINDS[self.kind]

    @property
    def _of_several(self) -> bool:
        return self.kind in ("exact copies", "near copies", "group leak")

    @property
    def severity(self) -> tuple:
        """What to sort findings by: train images in test first, then one picture with several labels, and so on."""
        of_test = {"train", "test"} <= set(self.splits)
        rank = (0 if of_test else 1) if self.leak else 2 if self.conflict else 3
        return rank, list(KINDS).index(self.kind), not self.conflict, -self.weight


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings, the worst first."""
    return sorted(findings, key=lambda one: (one.severity, one.members[0].position if one.members else -1))


def counts(findings: Iterable[Finding]) -> dict[str, tuple[int, int]]:
    """Return `heading` -> how many findings and images, in the order of the findings."""
    number, images = Counter(), Counter()
    for one in findings:
        number[heading(one)] += 1
        images[heading(one)] += len(one.members)
    return {what: (count, images[what]) for what, count in number.items()}


def heading(one: Finding) -> str:
    """Return what a finding is, in words."""
    if one.kind == "group leak":
        return "groups in several splits"
    places = " and ".join([", ".join(one.splits[:-1]), *one.splits[-1:]])
    across = [f"in {places}"] * one.leak + ["with unlike labels"] * one.conflict
    return " ".join([one.kind, *across])


def fails(findings: Iterable[Finding], on: str | None) -> bool:
    """Return whether there is a finding of a kind that the user does not want: ``leak``, ``conflict`` or ``any``."""
    return any({"leak": one.leak, "conflict": one.conflict, "any": True}[on] for one in findings) if on else False


def as_csv(findings: Sequence[Finding]) -> bytes:
    """Return a header and a row a finding."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEADER)
    writer.writerows(_row(one) for one in findings)
    return text.getvalue().encode()


def _row(one: Finding) -> list:
    yes = ("no", "yes")
    return [
        *(one.kind, len(one.members), yes[one.leak], yes[one.conflict], BETWEEN.join(one.splits)),
        *(BETWEEN.join(one.labels), BETWEEN.join(member.name for member in one.members), one.detail, one.advice),
    ]


def read_csv(file: Path) -> list[Mapping[str, str]] | None:
    """Return the rows of a table from `as_csv`; None where a file is something else."""
    allow_long_cells()
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
    except (OSError, ValueError, csv.Error):
        return None
    whole = tuple(reader.fieldnames or ()) == HEADER and all(None not in (*row, *row.values()) for row in rows)
    return [row for row in rows if row["finding"] in KINDS] if whole else None


def again(rows: Iterable[Mapping[str, str]], members: Mapping[str, Member]) -> list[Finding]:
    """Return the findings of a table, of the images that are still there, by name; without any, a finding goes."""
    found = []
    for row in rows:
        names = row["files"].split(BETWEEN) if row["files"] else []
        here = tuple(members[name] for name in names if name in members)
        found += [Finding(row["finding"], here, row["detail"])] if here or not names else []
    return found
