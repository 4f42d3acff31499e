"""Pages that show what an audit has found, the images of each finding side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl_cli.audit.finding import Finding, Member, again, heading
from ssl_cli.audit.images import Images
from ssl_cli.report.figures.inspection import Inspection
from ssl_cli.report.figures.tiles import Shown, tile
from ssl_cli.report.page import render_page
from ssl_cli.report.read import RunFiles
from ssl_cli.system.names import plain

FINDINGS, MEMBERS = 40, 8  # of a kind, and of a finding, that are shown


@dataclass
class ShownFinding:
    """One finding."""

    members: list[Shown]
    detail: str


@dataclass
class Part:
    """Findings of one kind."""

    title: str
    number: str  # of findings, in words
    advice: str
    shown: list[ShownFinding]
    notes: list[str]


def audit_page(dataset: str, facts: Mapping[str, Any], findings: Sequence[Finding], images: Any) -> str:
    """Return a page of the findings, the worst first.

    Args:
        dataset: its name.
        facts: term -> value, of what was looked at.
        findings: in the order in which they are shown.
        images: [N, C, h, w] uint8, indexed by the positions of members.
    """
    number = f"{len(findings):,}" if findings else "no"
    title = f"{dataset}: {number} finding{'s' * (len(findings) != 1)}"
    return render_page("audit.html", title, pairs=list(facts.items()), parts=parts(findings, images))


def parts(findings: Sequence[Finding], images: Any) -> list[Part]:
    """Return findings by what they are, the first of each kind with pictures."""
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for one in findings:
        kinds.setdefault((heading(one), one.advice), []).append(one)
    return [_part(title, advice, found, images) for (title, advice), found in kinds.items()]


def of_run(run: RunFiles, seen: Inspection | None) -> tuple[list[Part], list[str]]:
    """Return what `ssl audit` found at last in a run's own images, and lines about it.

    Args:
        run: its files.
        seen: its images; None: they cannot be shown.
    """
    if not run.audited:
        return [], []
    file, rows = run.audited[-1]
    number = f"{len(rows):,} finding{'s' * (len(rows) != 1)}" if rows else "nothing was found"
    notes = [f"{file}: {number}."]
    if seen is None:
        return [], notes
    images = Images.of(seen.data, seen.root)
    members = {one.name: one for one in map(images.member, range(len(images)))}
    here = again(rows, members)
    notes += [f"{len(rows) - len(here):,} are about images that are not there now."] if len(here) < len(rows) else []
    return parts(here, seen.data.images), notes


def _part(title: str, advice: str, found: Sequence[Finding], images: Any) -> Part:
    number = f"{len(found):,} finding{'s' * (len(found) != 1)}"
    notes = [f"The first {FINDINGS} are shown; all are in audit.csv."] if len(found) > FINDINGS else []
    shown = [_shown(one, images) for one in found[:FINDINGS]]
    return Part(title[:1].upper() + title[1:], number, advice, shown, notes)


def _shown(one: Finding, images: Any) -> ShownFinding:
    more = len(one.members) - MEMBERS
    detail = "; ".join(filter(None, [one.detail, f"{more:,} more images" if more > 0 else ""]))
    return ShownFinding([_member(member, images) for member in _some(one)], detail)


def _some(one: Finding) -> list[Member]:
    """Return the members that are shown: of each split and label some, before more of one."""
    seen: dict[tuple[str, str], int] = {}
    ranked = []
    for member in one.members:
        place = member.split, member.label
        seen[place] = seen.get(place, 0) + 1
        ranked.append((seen[place], member.position, member))
    return [member for *_, member in sorted(ranked, key=lambda item: item[:2])[:MEMBERS]]


def _member(member: Member, images: Any) -> Shown:
    place = ", ".join(filter(None, [member.split, member.label]))
    return Shown(tile(images[member.position], member.name), plain(member.name, 40), plain(place, 40))
