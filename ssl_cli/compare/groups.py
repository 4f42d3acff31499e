"""Which runs are one line of a comparison, and the baselines of all."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ssl_cli.compare.cells import Cell, Column, cells_of, column_of, key_of, run_of
from ssl_cli.compare.entries import Entry, identity
from ssl_cli.compare.naming import group_names
from ssl_cli.compare.options import OVER, Options
from ssl_cli.compare.settings import assignment, full_key, is_any_of, setting
from ssl_cli.errors import UserError
from ssl_cli.probes.scores.protocol import BASELINES, BEFORE, RAW

APART = "dataset.labels"  # is in the column already: runs that differ in nothing else can share a line

# Settings of a backbone that random weights do not depend on, and those that nothing before training depends on.
OF_TRAINING = ("backbone.norm_momentum", "backbone.split_norms", "backbone.freeze_patches")
NOT_RANDOM = ("backbone.weights", "backbone.adapt", "backbone.lora")
SIZES = ("dataset.storage_size", "pretext.size")
SEEN = ("dataset.mean", "dataset.std", *SIZES)  # how a network of others sees images


@dataclass
class Group:
    """Runs that differ only in what is averaged over. ``cells``: column -> values of ``over`` -> what was measured."""

    name: str
    entries: list[Entry]
    baseline: bool = False
    cells: dict[Column, Cell] = field(default_factory=dict)


def grouped(entries: Sequence[Entry], options: Options) -> list[Group]:
    """Return the baselines and then the groups of runs, in the order of first appearance.

    Args:
        entries: on the same data.
        options: ``by``, ``over`` and ``metric``.

    Raises:
        UserError: a setting is unknown, or runs of one group differ in more than ``over``.
    """
    by, over = ([full_key(entries, name) for name in names] for names in (options.by, options.over))
    options = replace(options, by=by, over=over)
    parts: list[list[Entry]] = []
    for bucket in _split_by(entries, _kind(entries, options)):
        if by:
            _check_alike(bucket, options)
            parts.append(bucket)
        else:
            parts += _without_conflict(bucket, options)
    names = group_names(parts, options)
    cells = [cells_of(part, over, options.metric) for part in parts]
    groups = [Group(name, part, cells=found) for name, part, found in zip(names, parts, cells, strict=True)]
    return _baselines(entries, options) + groups


def _kind(entries: Sequence[Entry], options: Options) -> Callable[[Entry], str]:
    """Return the function that gives each run what only those of its group share."""
    if options.by:
        return lambda e: json.dumps([setting(e, key) for key in options.by], default=str)
    methods = {e.method for e in entries}
    common = {method: set.intersection(*(set(e.config) for e in entries if e.method == method)) for method in methods}

    def kind(e: Entry) -> str:
        known = common[e.method] | {"method", "checkpoint"}  # what another version of ssl does not know sets none apart
        model = {key: value for key, value in identity(e, (*options.over, APART)).items() if key in known}
        return json.dumps(model, sort_keys=True, default=str)

    return kind


def _split_by(entries: Sequence[Entry], kind: Callable[[Entry], Any]) -> list[list[Entry]]:
    """Return the runs in lists of the same kind."""
    parts: dict[Any, list[Entry]] = {}
    for e in entries:
        parts.setdefault(kind(e), []).append(e)
    return list(parts.values())


def _without_conflict(bucket: list[Entry], options: Options) -> list[list[Entry]]:
    """Split runs that are alike in all settings where two of them fill the same cell: by labels, then by directory."""
    for kind in (lambda e: "", lambda e: setting(e, APART), lambda e: str(e.path)):
        parts = _split_by(bucket, kind)
        if not any(_conflict(part, options) for part in parts):
            break
    return parts


def _conflict(entries: Sequence[Entry], options: Options) -> tuple[Entry, Entry] | None:
    """Return two runs that would fill the same cell with different rows; the same row again is no conflict."""
    over, metric = options.over, options.metric
    cells = cells_of(entries, over, metric)
    for e in entries:
        for at in cells_of([e], over, metric):
            first, row = cells[at][key_of(e, over)]
            own = next(r for r in e.rows if r["model"] not in BASELINES and column_of(r, metric) == at)
            same = all(row.get(key) == own.get(key) for key in ("mean", "protocol", "settings"))
            if first is not e and not (same and run_of(first) == run_of(e)):
                return first, e
    return None


def _check_alike(bucket: Sequence[Entry], options: Options) -> None:
    """Raise ``UserError`` where runs of one group differ in more than ``over``, or two would fill the same cell."""
    by, over = options.by, options.over
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
    if pair := _conflict(bucket, options):
        raise UserError(
            f"{pair[0].path} and {pair[1].path} are both {group} with the same {', '.join(over)}; leave one out, or "
            "add to --by what sets them apart"
        )


def _baselines(entries: Sequence[Entry], options: Options) -> list[Group]:
    """Return the raw inputs, and the random weights of each backbone: measured with every run, the same each time."""
    over, metric = options.over, options.metric
    raw = [group for name, words in RAW.items() for group in _raw(entries, over, metric, name, words)]
    over = [*over, *(["seed"] if "seed" not in over else [])]
    given = [e for e in entries if any(row["model"] == BEFORE for row in e.rows)]
    random = _of_backbones(entries, over, metric, "random", _backbone, "random weights")
    before = _of_backbones(given, over, metric, BEFORE, _start, "before training")
    for group in (*raw, *before):
        for cell in group.cells.values():  # they know no seed
            if len({row["mean"] for _, row in cell.values()}) == 1:
                for key in list(cell)[1:]:
                    del cell[key]
    return [group for group in (*raw, *random, *before) if group.cells]


def _raw(entries: Sequence[Entry], over: Sequence[str], metric: str | None, name: str, words: str) -> list[Group]:
    """Return the raw inputs of each size that they are seen at."""
    parts = _split_by(entries, lambda e: str([e.config.get(key) for key in SIZES]))
    apart = [key for key in SIZES if len({str(part[0].config.get(key)) for part in parts}) > 1]
    given = [[assignment(part[0], key) for key in apart if part[0].config.get(key) is not None] for part in parts]
    names = [", ".join([words, *its]) for its in given]
    return [Group(n, part, True, cells_of(part, over, metric, name)) for n, part in zip(names, parts, strict=True)]


def _of_backbones(
    entries: Sequence[Entry],
    over: Sequence[str],
    metric: str | None,
    model: str,
    facts: Callable[[Entry], dict[str, Any]],
    what: str,
) -> list[Group]:
    """Return a baseline of each backbone: runs whose ``facts`` are equal have the same."""
    parts = _split_by(entries, lambda e: json.dumps(facts(e), sort_keys=True, default=str))
    names = _backbone_names([part[0] for part in parts], facts, what)
    return [
        Group(name, part, True, cells_of(part, over, metric, model)) for name, part in zip(names, parts, strict=True)
    ]


def _backbone(e: Entry) -> dict[str, Any]:
    """Return what random weights depend on; where residual branches train from zero, older versions drew them so."""
    ignored = NOT_RANDOM if e.config.get("backbone.zero_init_residual") else (*NOT_RANDOM, *OF_TRAINING)
    seen = SEEN if e.config.get("backbone.weights") is not None else ()
    return {
        key: value
        for key, value in e.config.items()
        if key in seen or (key.startswith("backbone.") and not is_any_of(key, ignored))
    }


def _start(e: Entry) -> dict[str, Any]:
    """Return what a network before training depends on, where it was trained by others or by another run."""
    return {
        **_backbone(e),
        "backbone.weights": e.config.get("backbone.weights"),
        "init": identity(e, OVER).get("init"),
        **{key: e.config.get(key) for key in SEEN},
    }


def _backbone_names(entries: Sequence[Entry], facts: Callable[[Entry], dict[str, Any]], what: str) -> list[str]:
    """Return for runs of different backbones for example ``convnet, random weights``."""
    kinds = [setting(e, "backbone.arch") or setting(e, "backbone.name") or setting(e, "backbone") for e in entries]
    names = []
    for e, kind in zip(entries, kinds, strict=True):
        alike = [facts(other) for other, its in zip(entries, kinds, strict=True) if its == kind]
        keys = sorted({key for nodes in alike for key in nodes if key != "init"})
        apart = [key for key in keys if len({str(nodes.get(key)) for nodes in alike}) > 1][:2]
        names.append(", ".join([*([kind] if kind else []), *(assignment(e, key) for key in apart), what]))
    return [f"{name} ({e.path})" if names.count(name) > 1 else name for name, e in zip(names, entries, strict=True)]
