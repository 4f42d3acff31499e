"""What the lines of a comparison are called: the method, and what sets runs of one method apart."""

from collections.abc import Sequence

from ssl_cli.compare.entries import NOT_THE_MODEL, Entry
from ssl_cli.compare.options import Options
from ssl_cli.compare.settings import assignment, is_any_of, setting

UNNAMED = (*NOT_THE_MODEL, "experiment", "init")  # settings that are in no name


def group_names(parts: Sequence[Sequence[Entry]], options: Options) -> list[str]:
    """Return a short name for each group of runs, no two of them alike; ``options.by`` and ``over`` are full keys."""
    if options.by:
        return [_by(part[0], options.by) for part in parts]
    names = [part[0].method for part in parts]
    for method in set(names):
        rivals = [i for i, name in enumerate(names) if name == method]
        if len(rivals) > 1:
            keys = _telling_apart([parts[i] for i in rivals], options.over)
            for i in rivals:
                given = [assignment(parts[i][0], key) for key in keys if setting(parts[i][0], key) is not None]
                names[i] = ", ".join([method, *given])
    return [
        f"{name} ({part[0].path})" if names.count(name) > 1 else name for name, part in zip(names, parts, strict=True)
    ]


def _by(e: Entry, by: Sequence[str]) -> str:
    return ", ".join(str(setting(e, key)) if key in ("method", "pretext") else assignment(e, key) for key in by)


def _telling_apart(rivals: Sequence[Sequence[Entry]], over: Sequence[str]) -> list[str]:
    """Return the settings that set groups of one method apart: those that were typed, if these are enough."""
    keys = {key for part in rivals for e in part for key in (*e.typed, *e.config)}
    keys = {key for key in keys if key != "method" and not is_any_of(key, (*UNNAMED, *over))}
    apart = [key for key in sorted(keys) if _distinct(rivals, [key]) > 1]
    apart = [key for key in apart if all(len({str(setting(e, key)) for e in part}) == 1 for part in rivals)]
    typed = [key for key in apart if any(key in e.typed for part in rivals for e in part)]
    return typed if _distinct(rivals, typed) == len(rivals) else apart[:3]


def _distinct(rivals: Sequence[Sequence[Entry]], keys: Sequence[str]) -> int:
    """Return how many groups these settings tell apart."""
    return len({str([setting(part[0], key) for key in keys]) for part in rivals})
