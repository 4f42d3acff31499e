"""Which runs are one line of a comparison, what that line is called, and the baselines of all."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ssl_cli.compare.entries import Entry, identity
from ssl_cli.config.schema import HOUSEKEEPING
from ssl_cli.errors import UserError, did_you_mean
from ssl_cli.probes.scores.protocol import BASELINES

Column = tuple[str, str, str | None, str]  # probe, labels, target, metric
Row = dict[str, Any]
Key = tuple[str, ...]  # values of the settings that are averaged over
Cell = dict[Key, tuple[Entry, Row]]
OVER = ("seed", "dataset.label_seed")
APART = "dataset.labels"  # is in the column already: runs that differ in nothing else can share a line


@dataclass
class Group:
    """Runs that differ only in what is averaged over. ``cells``: column -> values of ``over`` -> what was measured."""

    name: str
    entries: list[Entry]
    baseline: bool = False
    cells: dict[Column, Cell] = field(default_factory=dict)


def grouped(entries: Sequence[Entry], by: Sequence[str], over: Sequence[str], metric: str | None) -> list[Group]:
    """Return the baselines and then the groups of runs, in the order of first appearance.

    Args:
        entries: on the same data.
        by: settings that make a group; none: all in which the runs differ, but for ``over``.
        over: settings that are averaged over.
        metric: another one than each row's headline.

    Raises:
        UserError: a setting is unknown, or runs of one group differ in more than ``over``.
    """
    over = [full_key(entries, name) for name in over]
    by = [full_key(entries, name) for name in by]
    buckets: dict[str, list[Entry]] = {}
    common = {m: set.intersection(*(set(e.config) for e in entries if e.method == m)) for m in _methods(entries)}
    for e in entries:
        if by:
            kind: Any = [setting(e, key) for key in by]
        else:  # what another version of ssl does not know sets nothing apart
            known = common[e.method] | {"method", "checkpoint"}
            kind = {k: v for k, v in identity(e, (*over, APART)).items() if k in known}
        buckets.setdefault(json.dumps(kind, sort_keys=True, default=str), []).append(e)
    parts: list[list[Entry]] = []
    for bucket in buckets.values():
        if by:
            _check_alike(bucket, by, over, metric)
            parts.append(bucket)
        else:
            parts += _without_conflict(bucket, over, metric)
    groups = [Group(name, part) for name, part in zip(_names(parts, by, over), parts, strict=True)]
    for group in groups:
        group.cells = _cells(group.entries, over, metric)
    return _baselines(entries, over, metric) + groups


def full_key(entries: Sequence[Entry], name: str) -> str:
    """Return the setting that a name means: itself, or the one that ends with it (``temperature``)."""
    keys = {key for e in entries for key in (*e.config, *e.typed) if not _any_of(key, (*HOUSEKEEPING, "probe"))}
    known = {*keys, *(key.rsplit(".", n)[0] for key in keys for n in range(1, key.count(".") + 1)), "method", *OVER}
    if name in known:
        return name
    ends = sorted(key for key in keys if key.endswith(f".{name}"))
    if len(ends) == 1 or f"dataset.{name}" in ends:
        return ends[0] if len(ends) == 1 else f"dataset.{name}"
    if ends:
        raise UserError(f"'{name}' can be {' or '.join(ends)}; write which")
    differing = [key for key in sorted(known) if len({str(setting(e, key)) for e in entries}) > 1]
    near = did_you_mean(name, [*known, *(key.rsplit(".", 1)[-1] for key in keys)])
    raise UserError(f"the runs have no setting '{name}'{near} (they differ in {', '.join(differing[:8]) or 'nothing'})")


def setting(e: Entry, key: str) -> Any:
    """Return what a run was given for a setting: as typed, as composed, or of a group the name of its module."""
    if key == "method":
        return e.method
    if key in e.config:
        return e.config[key]
    if key in e.typed:
        return e.typed[key]
    target = e.config.get(f"{key}._target_")
    return target.rsplit(".", 2)[-2] if isinstance(target, str) and "." in target else None


def column(row: Row, metric: str | None) -> Column:
    """Return the column that a row belongs to."""
    return row["probe"], row["labels"], row.get("target"), metric or row["metric"]


def value(row: Row, at: Column) -> tuple[float, float | None]:
    """Return mean and deviation of a row in the metric of a column."""
    scores = row if row["metric"] == at[3] else row["metrics"][at[3]]
    return scores["mean"], scores.get("std")


def run_of(e: Entry) -> str:
    """Return the directory of the run that a measurement is of."""
    path = e.path.resolve()
    return str(path.parent.parent if path.parent.name == "probes" else path)


def _cells(
    entries: Iterable[Entry], over: Sequence[str], metric: str | None, model: str | None = None
) -> dict[Column, Cell]:
    """Return the rows of a model (None: the trained one) by column and by the values of ``over``."""
    cells: dict[Column, Cell] = {}
    for e in entries:
        at = tuple(str(setting(e, key)) for key in over)
        for row in e.rows:
            wanted = row["model"] not in BASELINES if model is None else row["model"] == model
            if wanted and (metric is None or metric == row["metric"] or metric in row.get("metrics", {})):
                cells.setdefault(column(row, metric), {}).setdefault(at, (e, row))
    return cells


def _without_conflict(bucket: list[Entry], over: Sequence[str], metric: str | None) -> list[list[Entry]]:
    """Split runs that are alike in all settings where two of them fill the same cell: by labels, then by directory."""
    for key in (lambda e: "", lambda e: setting(e, APART), lambda e: str(e.path)):
        parts: dict[Any, list[Entry]] = {}
        for e in bucket:
            parts.setdefault(key(e), []).append(e)
        if not any(_conflict(part, over, metric) for part in parts.values()):
            break
    return list(parts.values())


def _conflict(entries: Sequence[Entry], over: Sequence[str], metric: str | None) -> tuple[Entry, Entry] | None:
    """Return two runs that would fill the same cell with different rows; the same row again is no conflict."""
    cells = _cells(entries, over, metric)
    for e in entries:
        for at, found in ((c, cells[c]) for c in _cells([e], over, metric)):
            first, row = found[tuple(str(setting(e, key)) for key in over)]
            own = next(r for r in e.rows if r["model"] not in BASELINES and column(r, metric) == at)
            same = all(row.get(key) == own.get(key) for key in ("mean", "protocol", "settings"))
            if first is not e and not (same and run_of(first) == run_of(e)):
                return first, e
    return None


def _check_alike(bucket: Sequence[Entry], by: Sequence[str], over: Sequence[str], metric: str | None) -> None:
    kinds = [identity(e, (*over, APART)) for e in bucket]
    shared = set.intersection(*map(set, kinds)) - set(by)  # what another version of ssl does not know is no difference
    differing = [key for key in sorted(shared) if len({str(kind[key]) for kind in kinds}) > 1]
    group = ", ".join(str(setting(bucket[0], key)) for key in by)
    if differing:
        given = differing[0]
        raise UserError(
            f"the runs of {group} differ in {', '.join(differing[:3])}{', ...' * (len(differing) > 3)}, not only in "
            f"{', '.join(over)}: write --by {','.join([*by, given])}, or --over {','.join([*over, given])} to average "
            "over it"
        )
    if pair := _conflict(bucket, over, metric):
        raise UserError(
            f"{pair[0].path} and {pair[1].path} are both {group} with the same {', '.join(over)}; leave one out, or "
            "add to --by what sets them apart"
        )


def _names(parts: Sequence[Sequence[Entry]], by: Sequence[str], over: Sequence[str]) -> list[str]:
    """Return a short name for each group: the method, and what sets groups of the same method apart."""
    if by:
        return [
            ", ".join(str(setting(p[0], k)) if k in ("method", "pretext") else _said(p[0], k) for k in by)
            for p in parts
        ]
    names = [part[0].method for part in parts]
    for method in set(names):
        rivals = [i for i, name in enumerate(names) if name == method]
        if len(rivals) == 1:
            continue
        keys = {key for i in rivals for e in parts[i] for key in (*e.typed, *e.config)}
        keys = {
            k for k in keys if k != "method" and not _any_of(k, (*HOUSEKEEPING, "probe", *over, "experiment", "init"))
        }
        apart = [k for k in sorted(keys) if len({str(setting(parts[i][0], k)) for i in rivals}) > 1]
        apart = [k for k in apart if all(len({str(setting(e, k)) for e in parts[i]}) == 1 for i in rivals)]
        typed = [k for k in apart if any(k in e.typed for i in rivals for e in parts[i])]
        shown = typed if _distinct(parts, rivals, typed) else apart[:3]
        for i in rivals:
            said = [_said(parts[i][0], key) for key in shown if setting(parts[i][0], key) is not None]
            names[i] = ", ".join([method, *said])
    for name in {n for n in names if names.count(n) > 1}:
        for i in (i for i, other in enumerate(names) if other == name):
            names[i] = f"{name} ({parts[i][0].path})"
    return names


def _distinct(parts: Sequence[Sequence[Entry]], rivals: Sequence[int], keys: Sequence[str]) -> bool:
    return len({str([setting(parts[i][0], key) for key in keys]) for i in rivals}) == len(rivals)


def _said(e: Entry, key: str) -> str:
    return f"{key.rsplit('.', 1)[-1]}={setting(e, key)}"


def _baselines(entries: Sequence[Entry], over: Sequence[str], metric: str | None) -> list[Group]:
    """Return the pixels, and the random weights of each backbone: measured with every run, and the same each time."""
    pixels = Group("raw pixels", list(entries), True, _cells(entries, over, metric, "pixels"))
    for cell in pixels.cells.values():  # they know no seed
        if len({row["mean"] for _, row in cell.values()}) == 1:
            for key in list(cell)[1:]:
                del cell[key]
    backbones: dict[str, list[Entry]] = {}
    for e in entries:
        nodes = {key: value for key, value in e.config.items() if key.startswith("backbone.")}
        backbones.setdefault(json.dumps(nodes, sort_keys=True, default=str), []).append(e)
    over = [*over, *(["seed"] if "seed" not in over else [])]
    random = [Group("", part, True, _cells(part, over, metric, "random")) for part in backbones.values()]
    names = [setting(g.entries[0], "backbone.arch") or setting(g.entries[0], "backbone") for g in random]
    for group, name in zip(random, names, strict=True):
        alike = [g.entries[0] for g, other in zip(random, names, strict=True) if other == name]
        keys = sorted({k for e in alike for k in e.config if k.startswith("backbone.")})
        apart = [k for k in keys if len({str(e.config.get(k)) for e in alike}) > 1][:2]
        said = [_said(group.entries[0], k) for k in apart]
        group.name = ", ".join([*([name] if name else []), *said, "random weights"])
    return [group for group in (pixels, *random) if group.cells]


def _any_of(key: str, names: Iterable[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _methods(entries: Sequence[Entry]) -> set[str]:
    return {e.method for e in entries}
