"""The table at the end of a sweep, read from the jobs' directories, so that any launcher may have run them."""

import json
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class SweepSummary(Callback):
    """Prints one line a job when all have ended."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Find the jobs' summaries below the sweep's directory and show them."""
        if config.get("launcher") is None:  # else they are yet to start
            show(Path(config.hydra.sweep.dir))


def show(directory: Path) -> None:
    """Print state, time and results of every job below ``directory``."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from ssl_cli.probes.protocol import column
    from ssl_cli.report.table import cell, headers

    jobs = sorted(directory.glob("*/summary.json"), key=lambda file: (_number(file.parent.name), file.parent.name))
    summaries = [(file.parent.name, json.loads(file.read_text(encoding="utf-8"))) for file in jobs]
    own = [(name, s, [r for r in s["results"] if r["model"] not in ("pixels", "random")]) for name, s in summaries]
    heads = headers([row for _, _, rows in own for row in rows])
    common = set.intersection(*(set(summary.get("overrides", [])) for _, summary in summaries)) if summaries else set()
    table = Table("job", "state", *heads.values(), box=box.SIMPLE_HEAD)
    for name, summary, rows in own:
        swept = [item for item in summary.get("overrides", []) if item not in common]
        name = " ".join([name.split("-")[0], *swept])
        cells = {column(row): cell(row) for row in rows}
        table.add_row(name, summary["state"], *(cells.get(key, "") for key in heads))
    console = Console()
    console.print(table)
    for name, summary, _ in own:
        if summary["state"] == "failed":
            console.print(f"{name} failed: {summary.get('error', 'unknown reason')}", markup=False, highlight=False)
    print(f"sweep: {directory} ({sum(s['state'] == 'finished' for _, s, _ in own)} of {len(own)} jobs finished)")


def _number(name: str) -> int:
    head = name.split("-")[0]
    return int(head) if head.isdigit() else -1
