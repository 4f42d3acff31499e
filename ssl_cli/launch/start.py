"""Run a job on the number of ranks that it asks for, or that torchrun or srun started."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ssl_cli.errors import UserError
from ssl_cli.launch.again import going_on
from ssl_cli.launch.place import adopted, recorded_launch
from ssl_cli.launch.ranks import run_rank, share, told
from ssl_cli.launch.spawn import spawn
from ssl_cli.runs.job import Job


def run(job: Job) -> int:
    """Run a job on the number of ranks that it asks for, or that torchrun or srun started. Returns the exit status."""
    from ssl_cli.training.run import execute

    place, trainer = adopted(), job.config["trainer"]
    if place is not None and place.rank > 0:
        return run_rank(place, None)
    job, finished = going_on(replace(job, launched=recorded_launch()))
    if finished:
        return 0
    check_ranks(trainer, place.world if place else trainer["devices"])
    if place is not None:
        return run_rank(place, job)
    if trainer["devices"] > 1 and not trainer["dry_run"]:
        return spawn(job, trainer["devices"])
    return execute(job)


def compose_once(compose: Callable[[], int]) -> int:
    """Compose and run; of adopted ranks only rank 0 composes, the others wait for what it has found."""
    place = adopted()
    if place is not None and place.rank > 0:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 (for the rest of the process)
        return run_rank(place, None)
    try:
        return compose()
    finally:
        if place is not None and not told():  # a mistake in the config, or nothing to do: the others need not wait
            share(place, None)


def check_ranks(trainer: dict[str, Any], world: int) -> None:
    """Raise ``UserError`` where a batch cannot be shared out evenly."""
    unit = world * trainer["accumulate"]
    if world > 1 and trainer["batch_size"] % unit:
        fitting = max(1, round(trainer["batch_size"] / unit)) * unit
        parts = f" in {trainer['accumulate']} parts each" if trainer["accumulate"] > 1 else ""
        raise UserError(
            f"trainer.batch_size={trainer['batch_size']} cannot be shared by {world} processes{parts}; "
            f"write trainer.batch_size={fitting}"
        )
