"""A run that is ready to start."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Job:
    """A run that is ready to start: all that composing and checking a config have found out."""

    config: dict[str, Any]  # plain values, resolved
    target: str  # the run directory
    chosen: bool  # whether the user named it: then it must be free
    overrides: list[str]  # what was typed
    resume: bool = False  # go on with the run that is in `target`
    launched: str | None = None  # by which torchrun or Slurm, see `launch.place.launch_id`
    again: bool = False  # go on with it if it is the same job: of sweeps, which may be started again
    enters: bool = False  # its directory, which then is the working directory of what trains (hydra.job.chdir)
