"""Settings of runs: what a name of `--by` and `--over` means, and what a run was given for it."""

from collections.abc import Iterable, Sequence
from typing import Any

from ssl_cli.compare.entries import NOT_THE_MODEL, Entry
from ssl_cli.compare.options import OVER
from ssl_cli.errors import UserError, did_you_mean


def full_key(entries: Sequence[Entry], name: str) -> str:
    """Return the setting that a name means: itself, or the one that ends with it (``temperature``).

    Raises:
        UserError: no run has such a setting, or several settings end with the name.
    """
    every: set[str] = set().union(*(e.config.keys() | e.typed.keys() for e in entries))
    keys = {key for key in every if not is_any_of(key, NOT_THE_MODEL)}
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


def assignment(e: Entry, key: str) -> str:
    """Return for example ``temperature=0.2``."""
    return f"{key.rsplit('.', 1)[-1]}={setting(e, key)}"


def is_any_of(key: str, names: Iterable[str]) -> bool:
    """Return whether a setting is one of those named, or inside one."""
    return any(key == name or key.startswith(f"{name}.") for name in names)
