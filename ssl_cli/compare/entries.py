"""What `ssl compare` reads: the rows of runs and of probes, each with the model that they are of."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ssl_cli.config.chosen import moved_root
from ssl_cli.config.moved import with_new_names
from ssl_cli.config.schema import HOUSEKEEPING
from ssl_cli.errors import UserError
from ssl_cli.runs.catalog import read_json, record
from ssl_cli.system import plain_yaml

NOT_THE_MODEL = (*HOUSEKEEPING, "probe")  # settings that make no other model


@dataclass
class Entry:
    """One measured model: a run's closing measurement, or what ``ssl probe`` found of it."""

    path: Path  # the directory that was read
    method: str
    dataset: str
    splits: str  # fingerprint; "" where it is not known
    rows: list[dict[str, Any]]  # as `ssl_cli.probes.base.Probe.run` documents them
    config: dict[str, Any] = field(default_factory=dict)  # of the model: dotted key -> value
    typed: dict[str, str] = field(default_factory=dict)  # overrides of the command line that trained it
    seconds: float | None = None  # of training
    images_seen: int | None = None
    collapsed: bool = False
    data: dict[str, Any] = field(default_factory=dict)  # settings of the data set that it was measured on
    run: Path | None = None  # whose model it is; None where it is gone
    network: dict[str, Any] = field(default_factory=dict)  # ``backbone`` of its summary: parameters, speed, licence

    @property
    def model(self) -> Path:
        """What ``ckpt=`` takes for this model."""
        return self.run or self.path


def collect(paths: Sequence[Path]) -> tuple[list[Entry], list[tuple[str, str]]]:
    """Read every run and probe at or below the paths, each once.

    Returns:
        The entries, in the order of the paths and of a sweep's jobs; and what was left out, as (path, reason).

    Raises:
        UserError: a path is missing or holds neither.
    """
    entries, left_out, seen = [], [], set()
    for path in paths:
        if not path.exists():
            raise UserError(f"there is no {path}; write directories of runs, of sweeps or of probes")
        directories = _measured(path if path.is_dir() else path.parent)
        if not directories:
            raise UserError(f"{path} holds no run, sweep or probe: there is no summary.json or result.json in it")
        for directory in directories:
            if directory.resolve() not in seen:
                seen.add(directory.resolve())
                found = _read(directory)
                (entries if isinstance(found, Entry) else left_out).append(found)
    return entries, left_out


def _measured(path: Path) -> list[Path]:
    """Return the runs and probes at or below a directory, jobs by their number; probes inside these runs are theirs."""
    if (path / "summary.json").is_file() or (path / "result.json").is_file():
        return [path]
    files = [f for depth in ("*", "*/*", "*/*/*", "*/*/*/*") for f in path.glob(f"{depth}/*.json")]
    runs = {file.parent for file in files if file.name == "summary.json"}
    probes = {file.parent for file in files if file.name == "result.json"}
    probes = {probe for probe in probes if not runs & set(probe.parents)}
    return sorted(runs | probes, key=lambda p: [(_number(part), part) for part in p.parts])


def _number(name: str) -> int:
    head = name.split("-")[0]
    return int(head) if head.isdigit() else -1


def _read(directory: Path) -> Entry | tuple[str, str]:
    """Return the entry, or (path, why there is none)."""
    is_run = (directory / "summary.json").is_file()
    content = read_json(directory / ("summary.json" if is_run else "result.json"))
    if content is None:
        return str(directory), "its JSON file cannot be read"
    if is_run:
        run, summary = directory, content
        if content.get("state") != "finished":
            error = f": {content['error']}" if content.get("error") else ""
            return str(directory), f"{record(directory)['state']}{error}"
    else:
        run = _run_of(directory, content)
        summary = (read_json(run / "summary.json") if run else None) or {}
    rows = [row for row in content.get("results") or [] if _is_row(row)]
    if not rows:
        return str(directory), "nothing was measured: there were no labels, or too few"
    stored = _yaml(run / "config.yaml") if run else {}
    config, data = _flat(stored), stored.get("dataset")
    same_data = not config or content.get("dataset") == summary.get("dataset")
    splits = content.get("splits") or (summary.get("splits") if same_data else "") or ""
    if not is_run:
        probed = _flat(settings := _yaml(directory / "config.yaml"))
        data = settings.get("dataset") or data
        config |= {k: v for k, v in probed.items() if k in ("dataset.labels", "dataset.label_seed")}
        checkpoint = Path(content.get("checkpoint", "last.pt")).name
        if checkpoint != "last.pt":
            config["checkpoint"] = checkpoint
    return Entry(
        path=directory,
        method=content.get("method") or "model",
        dataset=content.get("dataset", ""),
        splits=splits,
        rows=rows,
        config=config,
        typed=dict(_split(item) for item in summary.get("overrides", [])),
        seconds=summary.get("seconds"),
        images_seen=summary.get("images_seen"),
        collapsed=bool(summary.get("collapsed")),
        data=moved_root(data, (read_json(run / "env.json") if run else None) or {}),
        run=run,
        network=summary["backbone"] if isinstance(summary.get("backbone"), dict) else {},
    )


def _is_row(row: Any) -> bool:
    """Return whether something is a row with a number: an older ssl may have written less, a newer one more."""
    needed = {"model", "probe", "labels", "metric", "mean", "std", "n", "settings"}
    return (
        isinstance(row, dict)
        and needed <= row.keys()
        and isinstance(row["mean"], (int, float))
        and math.isfinite(row["mean"])
    )


def _run_of(probe: Path, result: dict[str, Any]) -> Path | None:
    """Return the run whose checkpoint was probed, if it is still there."""
    candidates = [probe.parent.parent, Path(result.get("checkpoint", "")).parent.parent]
    return next((run for run in candidates if (run / "summary.json").is_file()), None)


def _yaml(file: Path) -> dict[str, Any]:
    try:
        content = plain_yaml.loads(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    return with_new_names(content) if isinstance(content, dict) else {}


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by dotted key; a list is one leaf."""
    if not isinstance(node, dict):
        return {prefix: node} if prefix else {}
    parts = [_flat(value, f"{prefix}.{key}" if prefix else str(key)) for key, value in node.items()]
    return {key: value for part in parts for key, value in part.items()}


def _split(override: str) -> tuple[str, str]:
    key, _, value = override.lstrip("+~").partition("=")
    return key.split("@")[0], value


def identity(entry: Entry, without: Iterable[str] = ()) -> dict[str, Any]:
    """Return what makes the model this one and no other: its settings without housekeeping and ``without``."""
    left = (*NOT_THE_MODEL, *without)
    inside = tuple(f"{key}." for key in left)
    kept = {k: v for k, v in entry.config.items() if k not in left and not k.startswith(inside)}
    for key, above in (("init", 1), ("dataset.pseudo_labels", 2)):  # how far below its run a checkpoint or a file is
        if kept.get(key) is not None:  # a run of the same kind by another seed is the same beginning
            files = (base / str(kept[key]) for base in (Path(), *entry.path.absolute().parents))
            config = next((c for file in files if (c := _flat(_yaml(file.parents[above] / "config.yaml")))), None)
            begun = Entry(entry.path, "", "", "", [], config or {})
            kept[key] = json.dumps(identity(begun, without), sort_keys=True) if config else kept[key]
    return kept if "method" in left else {"method": entry.method, **kept}
