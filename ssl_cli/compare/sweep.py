"""The table at the end of a sweep: read from the jobs' directories, whichever launcher ran them."""

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from ssl_cli.config.words import command


class SweepSummary(Callback):
    """Compares the jobs when all have ended: what `ssl compare` says of the sweep."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Find the jobs below the sweep's directory and show them."""
        directory = Path(config.hydra.sweep.dir)
        if config.get("launcher") is None:  # else they are yet to start
            show_sweep(directory)
        if [file.name for file in directory.glob("*")] == ["multirun.yaml"]:  # dry runs write nothing
            (directory / "multirun.yaml").unlink()
            directory.rmdir()


def show_sweep(directory: Path) -> None:
    """Print the comparison of the jobs below ``directory``; of jobs that cannot be compared, what became of each."""
    from rich.console import Console

    from ssl_cli.compare.comparison import compare
    from ssl_cli.compare.formats.terminal import to_terminal
    from ssl_cli.compare.listing import print_runs
    from ssl_cli.errors import UserError
    from ssl_cli.runs.catalog import find_runs

    runs = find_runs(directory)
    if not runs:  # dry runs
        return
    console = Console(highlight=False)
    try:
        console.print(to_terminal(compare([directory]), console))
    except UserError as error:
        print_runs(runs[::-1])
        print(f"not in one table: {error}")
    finished = sum(run["state"] in ("finished", "collapsed") for run in runs)
    print(f"sweep: {directory} ({finished} of {len(runs)} jobs finished)")
    print(f"next: {command('ssl', 'compare', directory, '--against', 'NAME')}")
