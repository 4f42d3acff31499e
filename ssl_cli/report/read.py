"""What a run has left on disk, read as far as it goes: a report shows what is there and says what is not."""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ssl_cli.audit import finding
from ssl_cli.pick.label_studio import read_tasks
from ssl_cli.pick.table import Picked, read_csv
from ssl_cli.probes.scores.protocol import BASELINES
from ssl_cli.runs.catalog import most_telling, read_json, run_state
from ssl_cli.system import plain_yaml

REFERENCE = "supervised"  # the method that others are held against


@dataclass
class RunFiles:
    """The files of one run. Imports neither torch nor hydra."""

    path: Path
    summary: dict[str, Any]
    config: dict[str, Any]
    config_text: str
    env: dict[str, Any]
    metrics: list[dict[str, Any]]  # rows of metrics.jsonl, by step
    probes: list[tuple[str, dict[str, Any]]]  # directory and result.json of each `ssl probe`, oldest first
    picked: list[tuple[str, list[Picked]]] = field(default_factory=list)  # file and list of each `ssl pick`, likewise
    audited: list[tuple[str, list[Mapping[str, str]]]] = field(default_factory=list)  # and rows of each `ssl audit`

    @property
    def method(self) -> str:
        """The name that the results give to the trained model."""
        return str(self.summary.get("method") or self.config.get("name") or "model")

    @property
    def dataset(self) -> str:
        """The name of the data set."""
        return str(self.summary.get("dataset") or "unknown data")

    @property
    def results(self) -> list[dict[str, Any]]:
        """The rows of the closing measurement."""
        return self.summary.get("results", [])

    @property
    def state(self) -> str:
        """As `ssl runs` shows it: running, killed, finished, collapsed, interrupted, failed or unreadable."""
        return run_state(self.summary)

    def series(self, key: str) -> tuple[list[float], list[float]]:
        """Return epochs and values of one key of metrics.jsonl, without those that are not finite numbers."""
        rows = [row for row in self.metrics if _is_number(row.get(key)) and _is_number(row.get("epoch"))]
        return [row["epoch"] for row in rows], [row[key] for row in rows]


def read_run(path: Path) -> RunFiles:
    """Read a run; a file that is missing or torn leaves its part empty."""
    import yaml

    try:
        text = (path / "config.yaml").read_text(encoding="utf-8")
        config = plain_yaml.loads(text)
    except (OSError, ValueError, yaml.YAMLError):
        text, config = "", {}
    results = [(file.parent.name, read_json(file)) for file in sorted(path.glob("probes/*/result.json"))]
    return RunFiles(
        path=path,
        summary=read_json(path / "summary.json") or {},
        config=config if isinstance(config, dict) else {},
        config_text=text,
        env=read_json(path / "env.json") or {},
        metrics=_rows(path / "metrics.jsonl"),
        probes=[(name, result) for name, result in results if result],
        picked=_picked(path / "picked"),
        audited=_audited(path / "audited"),
    )


def _picked(directory: Path) -> list[tuple[str, list[Picked]]]:
    files = by_time([*directory.glob("*.csv"), *directory.glob("*.json")])
    found = [(file.name, (read_csv if file.suffix == ".csv" else read_tasks)(file)) for file in files]
    return [(name, picked) for name, picked in found if picked]


def _audited(directory: Path) -> list[tuple[str, list[Mapping[str, str]]]]:
    found = [(file.name, finding.read_csv(file)) for file in by_time(directory.glob("*.csv"))]
    return [(name, rows) for name, rows in found if rows is not None]


def by_time(files: Iterable[Path]) -> list[Path]:
    """Return those that are files, the oldest first."""
    return sorted((f for f in files if f.is_file()), key=lambda file: (file.stat().st_mtime, file.name))


def predictions(file: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a ``predictions.npz``, or ``{}`` where there is none that can be read."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, KeyError):
        return {}


def headline_key(rows: list[dict[str, Any]], arrays: dict[str, np.ndarray]) -> str | None:
    """Return the key of the predictions that say most about a run's own model; see `most_telling`."""
    from ssl_cli.probes.scores.protocol import key

    own = [r for r in rows if r["model"] not in BASELINES and not r.get("target") and key(r) in arrays]
    row = most_telling(own)
    return key(row) if row else None


def started(run: RunFiles) -> str:
    """Return when the run was started, as day and minute."""
    if stamp := run.env.get("started"):
        return str(stamp)[:16].replace("T", " ")
    file = run.path / "config.yaml"
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(file.stat().st_mtime)) if file.exists() else "unknown"


def _rows(file: Path) -> list[dict[str, Any]]:
    rows = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:  # cut short when the machine stopped
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")
