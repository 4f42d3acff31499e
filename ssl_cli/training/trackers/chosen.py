"""The trackers that a config has chosen, and the one name under which all of them know a run."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_cli.config.build import instantiate, without_annotations
from ssl_cli.errors import UserError
from ssl_cli.runs.catalog import read_json
from ssl_cli.runs.directory import RunDir
from ssl_cli.training.trackers.base import TrackedRun, Tracker

FILE = "tracker.json"  # {"id", "name", "group"}
NOT_TOLD = ("tracker", "launcher", "resume", "trusted_modules")  # of the config: where, not what


def chosen(config: Mapping[str, Any]) -> dict[str, Tracker]:
    """Build the trackers of a config, by name. That imports none of the tools, but finds out whether they are there.

    Raises:
        UserError: one is not installed, or has a value that is not possible.
    """
    nodes = config.get("tracker") or {}
    for name, node in nodes.items():
        if not isinstance(node, Mapping) or "_target_" not in node:
            raise UserError(f"tracker.{name} is no tracker; begin its YAML file with `# @package tracker.NAME`")
    return {str(name): instantiate(node) for name, node in nodes.items()}


def tracked_run(run: RunDir, config: Mapping[str, Any], sweep: Path | None) -> TrackedRun:
    """Return what trackers are told of a run; what must stay the same is in `FILE` from the first time on.

    Args:
        run: the run.
        config: plain values.
        sweep: the directory of the sweep that it is a job of.
    """
    kept = read_json(run.path / FILE) or {}
    if not isinstance(kept.get("id"), str) or not kept["id"].isalnum():
        group = str(sweep) if sweep else None
        kept = {"id": secrets.token_hex(6), "name": run.path.absolute().name, "group": group}
        run.write(FILE, kept)
    told = {key: node for key, node in without_annotations(config).items() if key not in NOT_TOLD}
    name = Path(str(kept.get("name"))).name  # no path: it may become one
    return TrackedRun(run.path.absolute(), kept["id"], name, kept.get("group"), told)


def start(
    run: RunDir,
    config: Mapping[str, Any],
    sweep: Path | None,
    step: int,
    rows: Sequence[Mapping[str, Any]],
    tell: Callable[[str], None],
) -> list[Any]:
    """Start the trackers of a config, each in a thread; see `tracked_run` and `Background` for the arguments."""
    trackers = chosen(config)
    if not trackers:
        return []
    from ssl_cli.training.trackers.background import Background

    try:
        known = tracked_run(run, config, sweep)
    except OSError as error:
        tell(f"warning: nothing is tracked: cannot write {run.path / FILE}: {error.strerror}")
        return []
    return [Background(name, tracker, known, rows, step, tell) for name, tracker in trackers.items()]
