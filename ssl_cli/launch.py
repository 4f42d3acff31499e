"""One run, one process or many: started here (``trainer.devices=N``), or adopted from torchrun or srun.

A job is composed and checked once. Where it needs several ranks, each gets it as JSON, so nobody composes again and
nobody fights over the run directory: rank 0 writes and prints.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ssl_cli.cpus import usable_cpus
from ssl_cli.errors import RunError, UserError, one_line
from ssl_cli.signals import exit_status


@dataclass(frozen=True)
class Job:
    """A run that is ready to start: all that composing and checking a config have found out."""

    config: dict[str, Any]  # plain values, resolved
    target: str  # the run directory
    chosen: bool  # whether the user named it: then it must be free
    overrides: list[str]  # what was typed
    resume: bool = False  # go on with the run that is in `target`
    again: bool = False  # go on with it if it is the same job: of sweeps, which may be started again


@dataclass(frozen=True)
class Place:
    """Which rank this process is."""

    rank: int
    world: int
    local_rank: int  # among the ranks on this machine
    local_world: int
    rendezvous: str = "env://"  # where ranks find each other
    launcher: str = "ssl"  # or torchrun, srun: who started them, and ends them when one fails


_shared = False  # whether the other adopted ranks know what to do


def adopted() -> Place | None:
    """Return this process's place where torchrun or srun has started several, else None."""
    env = os.environ
    if {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= env.keys():
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        place = Place(*(int(env[name]) for name in names), launcher="torchrun")
    elif int(env.get("SLURM_STEP_NUM_TASKS", 1)) > 1:  # set by srun for the tasks that it starts, and by nothing else
        from ssl_cli.slurm import place_in_step

        place = place_in_step()
    else:
        return None
    return place if place.world > 1 else None


def launch_id() -> str | None:
    """Return what stays the same when torchrun or Slurm starts this again after a failure; None outside them."""
    env = os.environ
    if "TORCHELASTIC_RUN_ID" in env:
        named = env["TORCHELASTIC_RUN_ID"]
        # Without --rdzv-id all are called "none": then it is the agent, our parent, that stays.
        return f"torchrun-{named}" if named not in ("", "none") else f"torchrun-{os.uname().nodename}-{os.getppid()}"
    if "SLURM_JOB_ID" in env and int(env.get("SLURM_RESTART_COUNT", 0)) > 0:
        return f"slurm-{env['SLURM_JOB_ID']}"
    return None


def recorded_launch() -> str | None:
    """Return what `launch_id` will be when this is started again."""
    return launch_id() or (f"slurm-{os.environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in os.environ else None)


def run(job: Job) -> int:
    """Do a job on as many ranks as it asks for, or as there are. Returns the exit status."""
    from ssl_cli.commands.train import execute
    from ssl_cli.resume import going_on

    place, trainer = adopted(), job.config["trainer"]
    if place is not None and place.rank > 0:
        return as_rank(place, None)
    job, finished = going_on(job)
    if finished:
        return 0
    check_ranks(trainer, place.world if place else trainer["devices"])
    if place is not None:
        return as_rank(place, job)
    if trainer["devices"] > 1 and not trainer["dry_run"]:
        from ssl_cli.spawn import spawn

        return spawn(job, trainer["devices"])
    return execute(job)


_later: list[Job] = []  # what a launcher will do when all jobs are composed
_launcher: Any = None


def later(job: Job, launcher: Any) -> int:
    """Keep a job for a launcher: a sweep's jobs are composed and checked before the first one starts."""
    global _launcher
    _launcher = launcher
    _later.append(job)
    return 0


def main(compose: Callable[[], int]) -> int:
    """Compose and run; of adopted ranks only rank 0 composes, the others wait for what it has found."""
    place = adopted()
    if place is not None and place.rank > 0:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 (for the rest of the process)
        return as_rank(place, None)
    try:
        status = compose()
        jobs = launch_all() if _later else 0  # also where some could not be composed
        return status or jobs
    finally:
        if place is not None and not _shared:  # a mistake in the config, or nothing to do: the others need not wait
            share(place, None)


def launch_all() -> int:
    """Let the launcher do the jobs that were kept for it. Returns the exit status: of the first that failed, or 0."""
    from ssl_cli.app import again
    from ssl_cli.build import instantiate
    from ssl_cli.report.sweep import show

    statuses = instantiate(_launcher).launch(_later)
    if _later[0].again:
        show(Path(_later[0].target).parent)
        if any(status >= 124 for status in statuses):
            print(f"to go on with the sweep: {again(Path(_later[0].target).parent)}")
    return abs(next((status for status in statuses if status), 0))


def share(place: Place, job: Job | None) -> tuple[Any, Job | None]:
    """Give all ranks the job of rank 0; return the store where they met, and the job (None: there is none)."""
    global _shared
    from ssl_cli.distributed import meet, tell_all

    _shared = True
    store = meet(place.rank, place.world, place.rendezvous)
    store, text = tell_all(store, place.rank, place.world, json.dumps(None if job is None else asdict(job)))
    content = json.loads(text)
    return store, None if content is None else Job(**content)


def as_rank(place: Place, job: Job | None, tell: Callable[[dict[str, Any]], None] | None = None) -> int:
    """Be one rank of a job from beginning to end; a failure is told, or printed, with the rank's number.

    Args:
        place: which rank.
        job: what to do; None: rank 0 knows.
        tell: gets ``{"run": PATH}`` of a new run, and a failure as plain values; without it, a failure is printed and
            the process ends.
    """
    try:
        store, job = share(place, job) if tell is None else (None, job)
        if job is None:
            return 0
        join_group(place, job, store)
        from ssl_cli.commands.train import execute

        return execute(job) if tell is None else execute(job, lambda path: tell({"run": str(path)}))
    except KeyboardInterrupt as error:
        return exit_status(error)
    except BaseException as error:
        failure = describe_failure(error, place)
        if tell is not None:
            tell(failure)
            return failure["status"]
        if failure["trace"]:
            print(failure["trace"], file=sys.stderr, end="")
        # A mistake that all ranks see is said once.
        if place.rank == 0 or failure["status"] != 2:
            print(f"error: {one_line(failure['message'])}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(failure["status"])  # without the usual clean-up, which would wait for ranks that are gone


def join_group(place: Place, job: Job, store: Any) -> None:
    """Join the group of ranks, with this rank's GPU or its share of the cores."""
    import torch

    from ssl_cli import distributed
    from ssl_cli.device import choose_device

    trainer = job.config["trainer"]
    device = choose_device(trainer["device"]).type
    if device == "cuda":
        found = torch.cuda.device_count()
        if place.local_world > found:
            raise UserError(
                f"{place.local_world} processes on this machine need as many GPUs, it has {found}; "
                f"write trainer.devices={found}, or trainer.device=cpu"
            )
        torch.cuda.set_device(place.local_rank)
    store = store or distributed.meet(place.rank, place.world, place.rendezvous)
    threads = trainer["threads"] or share_of_cores(place)
    distributed.join(store, place.rank, place.world, device, trainer["rank_timeout"], threads, place.local_rank)


def share_of_cores(place: Place) -> int:
    """Return how many threads this rank may use, so that those on one machine use its cores once."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if place.launcher == "srun":  # binds each task to cores of its own, if it binds at all
        return int(os.environ.get("SLURM_CPUS_PER_TASK", 0)) or (cores if cores < (os.cpu_count() or 1) else 1)
    share = max(1, min(cores, usable_cpus()) // place.local_world)
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    # torchrun sets it to 1 for everybody who has not set it.
    return min(share, int(wanted)) if wanted.isdigit() and place.launcher != "torchrun" else share


def describe_failure(error: BaseException, place: Place) -> dict[str, Any]:
    """Return what is known of a rank's failure: exit status, message, traceback (of bugs only), whose fault it is."""
    from ssl_cli import distributed

    name = f"rank {place.rank} of {place.world}"
    failure: dict[str, Any] = {"rank": place.rank, "status": 1, "trace": "", "lost": False}
    if isinstance(error, UserError):
        return {**failure, "status": 2, "message": str(error)}
    if isinstance(error, RunError):
        return {**failure, "message": f"{name}: {error}"}
    if isinstance(error, SystemExit):
        return {**failure, "message": f"{name} has stopped: {error.code}"}
    if (silent := distributed.lost_ranks(error)) is not None:
        those = ", ".join(map(str, silent)) or "another"
        return {**failure, "lost": True, "silent": silent, "message": f"{name} lost rank {those}: {last_line(error)}"}
    return {**failure, "message": f"{name}: {type(error).__name__}: {error}", "trace": traceback.format_exc()}


def last_line(error: BaseException) -> str:
    """Return what gloo and NCCL say at the end, without the place in their source."""
    return str(error).strip().splitlines()[-1].rpartition("] ")[2]


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
