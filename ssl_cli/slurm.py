"""A rank's place among the tasks that srun has started."""

import os
import re
import subprocess

from ssl_cli.launch import Place


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
