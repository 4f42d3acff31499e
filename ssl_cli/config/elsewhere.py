"""Where trackers write outside of a run: a stored config, which anybody may have written, does not decide it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ssl_cli.config.words import word
from ssl_cli.errors import UserError

PLACES = ("dir", "uri")  # settings of trackers: a directory, or the address of a server
ACCOUNTS = ("entity",)


def is_address(place: object) -> bool:
    """Return whether a place is no directory of this machine: ``http://HOST:PORT``, ``databricks``."""
    return isinstance(place, str) and ("://" in place or place.startswith("databricks"))


def elsewhere(trackers: Mapping[str, Any] | None) -> dict[str, str]:
    """Return what must be typed again to go on with a run: the servers, accounts and missing directories, by key."""
    return {
        f"tracker.{name}.{key}": str(node[key])
        for name, node in (trackers or {}).items()
        for key in (*PLACES, *ACCOUNTS)
        if isinstance(node, Mapping) and node.get(key) and (key in ACCOUNTS or not _is_here(node[key]))
    }


def _is_here(place: object) -> bool:
    return not is_address(place) and Path(str(place)).expanduser().is_dir()


def typed_again(trackers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the settings of `elsewhere`, with the choice that they belong to; ``{}`` if there are none."""
    places = elsewhere(trackers)
    return {"tracker": list(trackers or {}), **places} if places else {}


def resumed_trackers(
    own: Mapping[str, Any] | None, chosen: Mapping[str, Any] | None, typed: Iterable[str]
) -> dict[str, Any] | None:
    """Return the trackers of a run that goes on: its own, or those that were typed with the settings that they had.

    Args:
        own: ``tracker`` of the run's config.
        chosen: the same of the command.
        typed: the keys that were typed.

    Raises:
        UserError: the run's config would write somewhere else than in the run, and nobody has typed that.
    """
    typed, own = set(typed), own or {}
    result = dict(own)
    if any(key.split(".")[0] == "tracker" for key in typed):
        result = {name: {**node, **(own.get(name) or {})} for name, node in (chosen or {}).items()}
        for name, node in result.items():
            node |= {key: chosen[name][key] for key in node if f"tracker.{name}.{key}" in typed}
    if unsaid := {key: place for key, place in elsewhere(result).items() if key not in typed}:
        key, place = next(iter(unsaid.items()))
        raise UserError(
            f"the run's config has {key}={place}, and a stored config sends nothing there unasked; "
            f"if you trust it, write {' '.join(word(*pair) for pair in typed_again(result).items())}, else tracker=null"
        )
    return result or None
