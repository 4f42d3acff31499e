"""What may share a table: the same inputs, the same splits, and in a column the same protocol."""

from collections.abc import Sequence
from typing import Any

from ssl_cli.compare.cells import Column, Row
from ssl_cli.compare.entries import Entry
from ssl_cli.compare.groups import Group
from ssl_cli.config.chosen import dataset_settings
from ssl_cli.config.kinds import kind_of
from ssl_cli.config.words import command
from ssl_cli.errors import UserError

# Of a row's settings: chosen by the fit for one model, or a remark, so not part of the protocol.
OWN = ("chosen", "notice")


def check_data(entries: Sequence[Entry]) -> None:
    """Raise ``UserError`` at the first run that was measured on other inputs or splits than the first one."""
    first = entries[0]
    for e in entries:
        kind, other = kind_of(first.data or {}), kind_of(e.data or {})
        if kind != other:
            raise UserError(
                f"{first.path} was measured on {kind}s, {e.path} on {other}s: these cannot be compared; compare the "
                "runs of each data set separately"
            )
        if e.dataset != first.dataset:
            again = command("ssl", "probe", "ckpt=RUN", **dataset_settings(first.data, first.dataset))
            raise UserError(
                f"{first.path} was measured on {first.dataset}, {e.path} on {e.dataset}: numbers on different data "
                f"cannot be compared; measure both on one data set ({again}) and "
                "compare these probes, or compare the runs of each data set separately"
            )
    noun, known = kind_of(first.data or {}), [e for e in entries if e.splits]
    for e in known:
        if e.splits != known[0].splits:
            keys = [key for key in e.config if key.startswith("dataset.") and key not in ("dataset.labels",)]
            differing = [k for k in keys if e.config[k] != known[0].config.get(k, e.config[k])]
            cause = (
                f"{differing[0]} is {known[0].config[differing[0]]} there, {e.config[differing[0]]} here"
                if differing
                else f"the settings are the same, so the {noun}s or their labels changed"
            )
            raise UserError(
                f"{known[0].path} and {e.path} have different splits of {e.dataset}, so other test {noun}s: {cause}; "
                f"train or probe both with the same dataset settings and {noun}s"
            )


def check_protocols(groups: Sequence[Group], columns: Sequence[Column]) -> list[str]:
    """Raise ``UserError`` at the first column whose numbers were not all made the same way.

    Returns:
        Notices of what rows of an older ssl, which stamped no protocol, do not say: it is taken as equal.
    """
    unsaid: dict[str, Entry] = {}
    for at in columns:
        found = [item for group in groups for item in group.cells.get(at, {}).items()]
        first_of: dict[Any, tuple[Entry, Row]] = {}
        _, (first, row) = found[0]
        for key, (entry, other) in found:
            # Labels drawn by the run's own seed differ from run to run, but not between lines.
            same_draw = first_of.setdefault(key, (entry, other))
            for (e, known), without_draw in (((first, row), True), (same_draw, False)):
                a, b = _facts(known, without_draw), _facts(other, without_draw)
                if not ("protocol" in known and "protocol" in other):
                    unsaid |= dict.fromkeys(a.keys() ^ b.keys(), e if "protocol" in other else entry)
                    a, b = ({k: v for k, v in facts.items() if k in a.keys() & b.keys()} for facts in (a, b))
                if a != b:
                    raise UserError(_refusal(at, e, a, entry, b))
    names = sorted(unsaid.keys() - {"protocol"})
    if not names:
        return []
    where = next(iter(unsaid.values())).path
    return [f"{', '.join(names)} taken as equal, though rows of an older ssl do not say so (such as those of {where})"]


def _facts(row: Row, without_draw: bool) -> dict[str, Any]:
    settings = {key: value for key, value in row["settings"].items() if key not in OWN}
    if without_draw and ("drawn_from" in settings or len(settings.get("label_seeds") or []) == 1):
        settings.pop("label_fingerprint", None)
        if "drawn_from" not in settings:
            settings.pop("label_seeds", None)
    facts = {"split": row.get("split", "test"), "draws": row["n"], **settings}
    return facts if without_draw or "protocol" not in row else {**facts, "protocol": row["protocol"]}


def _refusal(at: Column, first: Entry, a: dict[str, Any], second: Entry, b: dict[str, Any]) -> str:
    """Say what differs first, and how to make the two alike."""
    from ssl_cli.config.paths import conf_dir

    probe, labels, target, _ = at
    key = next(key for key in {**a, **b} if a.get(key) != b.get(key))
    said = " and ".join(f"{f.get(key, 'not stated')} in {e.path}" for e, f in ((first, a), (second, b)))
    file = conf_dir() / "probe" / f"{probe}.yaml"
    if not file.is_file():
        remedy = "leave this column out with --probe or --labels"
    else:
        settable = f"\n{key}:" in file.read_text(encoding="utf-8") and key in a
        value = {f"probe.{key}": a[key]} if settable else {}
        runs = [second] if settable else [first, second]
        again = " and ".join(command("ssl", "probe", ckpt=e.model, probe=probe, **value) for e in runs)
        remedy = f"measure alike ({again}) and compare the probes, or choose other columns with --probe or --labels"
    of = f" of {target}" if target else ""
    return f"{probe}{of} with {labels} labels was not measured alike: {key} is {said}; {remedy}"
