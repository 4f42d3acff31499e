"""One run, one process or many: started here (``trainer.devices=N``), or adopted from torchrun or srun.

A job is composed and checked once. Where it needs several ranks, each gets it as JSON, so nobody composes again and
nobody fights over the run directory: rank 0 writes and prints.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ssl_cli.errors import RunError, UserError, one_line
from ssl_cli.launch.place import Place
from ssl_cli.runs.job import Job
from ssl_cli.system.cpus import usable_cpus
from ssl_cli.system.signals import exit_status

_shared = False  # whether the other adopted ranks know what to do


def share(place: Place, job: Job | None) -> tuple[Any, Job | None]:
    """Give all ranks the job of rank 0; return the store where they met, and the job (None: there is none)."""
    global _shared
    from ssl_cli.distributed.group import meet, tell_all

    _shared = True
    store = meet(place.rank, place.world, place.rendezvous)
    store, text = tell_all(store, place.rank, place.world, json.dumps(None if job is None else asdict(job)))
    content = json.loads(text)
    return store, None if content is None else Job(**content)


def told() -> bool:
    """Return whether the other adopted ranks know what to do."""
    return _shared


def run_rank(place: Place, job: Job | None, tell: Callable[[dict[str, Any]], None] | None = None) -> int:
    """Run one rank of a job from beginning to end; report a failure with the rank's number.

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
        from ssl_cli.training.run import execute

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

    from ssl_cli.distributed import group
    from ssl_cli.system.device import choose_device

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
    store = store or group.meet(place.rank, place.world, place.rendezvous)
    threads = trainer["threads"] or share_of_cores(place)
    group.join(store, place.rank, place.world, device, trainer["rank_timeout"], threads, place.local_rank)


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
    from ssl_cli.distributed import group

    name = f"rank {place.rank} of {place.world}"
    failure: dict[str, Any] = {"rank": place.rank, "status": 1, "trace": "", "lost": False}
    if isinstance(error, UserError):
        return {**failure, "status": 2, "message": str(error)}
    if isinstance(error, RunError):
        return {**failure, "message": f"{name}: {error}"}
    if isinstance(error, SystemExit):
        return {**failure, "message": f"{name} has stopped: {error.code}"}
    if (silent := group.lost_ranks(error)) is not None:
        those = ", ".join(map(str, silent)) or "another"
        return {**failure, "lost": True, "silent": silent, "message": f"{name} lost rank {those}: {last_line(error)}"}
    return {**failure, "message": f"{name}: {type(error).__name__}: {error}", "trace": traceback.format_exc()}


def last_line(error: BaseException) -> str:
    """Return what gloo and NCCL say at the end, without the place in their source."""
    return str(error).strip().splitlines()[-1].rpartition("] ")[2]
