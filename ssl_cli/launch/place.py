"""Which rank this process is: alone, or adopted from torchrun or srun."""

import os
import re
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Which rank this process is."""

    rank: int
    world: int
    local_rank: int  # among the ranks on this machine
    local_world: int
    rendezvous: str = "env://"  # where ranks find each other
    launcher: str = "ssl"  # or torchrun, srun: who started them, and ends them when one fails


def adopted() -> Place | None:
    """Return this process's place where torchrun or srun has started several, else None."""
    env = os.environ
    if {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= env.keys():
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        place = Place(*(int(env[name]) for name in names), launcher="torchrun")
    elif int(env.get("SLURM_STEP_NUM_TASKS", 1)) > 1:  # set by srun for the tasks that it starts, and by nothing else
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


def place_in_step() -> Place:
    """Return this task's place, and set MASTER_ADDR and MASTER_PORT as torchrun would."""
    env = os.environ
    hosts = expand(env.get("SLURM_STEP_NODELIST") or env["SLURM_JOB_NODELIST"])
    tasks = per_node(env.get("SLURM_STEP_TASKS_PER_NODE") or env["SLURM_TASKS_PER_NODE"])
    env.setdefault("MASTER_ADDR", hosts[0])
    # Of a step's own, so that two steps on one machine do not meet; below the ports that systems hand out.
    step = int(env.get("SLURM_STEP_ID", 0))
    env.setdefault("MASTER_PORT", str(15000 + (int(env["SLURM_JOB_ID"]) * 101 + step) % 15000))
    return Place(
        int(env["SLURM_PROCID"]),
        int(env["SLURM_STEP_NUM_TASKS"]),
        int(env["SLURM_LOCALID"]),
        tasks[int(env["SLURM_NODEID"])],
        launcher="srun",
    )


def per_node(text: str) -> list[int]:
    """Return the number of tasks on each node: ``2(x3),1`` is [2, 2, 2, 1]."""
    counts = []
    for part in text.split(","):
        count, times = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part).groups()
        counts += [int(count)] * int(times or 1)
    return counts


def expand(nodes: str) -> list[str]:
    """Return the host names that Slurm's short form means, ``gpu[1-3,7],login``; scontrol knows all of it."""
    if "[" not in nodes:
        return nodes.split(",")
    listing = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True)
    return listing.stdout.split()
