"""Jobs on a Ray cluster: one that is there, or one that starts on this machine."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ssl_cli.launch.launcher import Launcher, name_of, outcome, require, start
from ssl_cli.runs.job import Job


class Ray(Launcher):
    """A Ray task a job. All machines must see the run directory under the same path, and have ``ssl`` installed.

    A job whose machine is lost starts again on another one, and goes on from its last checkpoint.

    Args:
        address: of the cluster, ``auto`` or ``HOST:PORT``; None: start one here, for the time of the sweep.
        cpus: that a job takes, and computes with.
        gpus: that a job takes.
        retries: how often a job is started again when its machine is lost; -1: always.
    """

    def __init__(self, *, address: str | None, cpus: int, gpus: float, retries: int):
        self.address, self.cpus, self.gpus, self.retries = address, cpus, gpus, retries

    def launch(self, jobs: Sequence[Job]) -> list[int]:
        """Do the jobs as the cluster has room for them."""
        import os
        import sys

        ray = require("ray", "ray")
        path = os.pathsep.join(filter(None, sys.path))
        ours = not ray.is_initialized()
        if ours:
            ray.init(
                self.address,
                log_to_driver=False,
                include_dashboard=False,
                runtime_env={"env_vars": {"PYTHONPATH": path}},
            )
        try:
            task = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=self.retries)(do_there)
            waiting = {task.remote(asdict(job), str(Path.cwd()), self.cpus): i for i, job in enumerate(jobs)}
            statuses = [1] * len(jobs)
            while waiting:
                (ready,), _ = ray.wait(list(waiting), num_returns=1)
                i = waiting.pop(ready)
                try:
                    statuses[i], machine = ray.get(ready)
                    print(f"job {name_of(jobs[i])} {outcome(statuses[i])} on {machine}", flush=True)
                except ray.exceptions.RayError as error:
                    print(f"job {name_of(jobs[i])} was lost: {str(error).splitlines()[0]}", file=sys.stderr, flush=True)
            return statuses
        finally:
            if ours:
                ray.shutdown()


def do_there(job: dict[str, Any], directory: str, cpus: int) -> tuple[int, str]:
    """Do a job in a process on the machine that this is called on; return its exit status, and where that was."""
    import os

    import ray

    os.chdir(directory)
    status = start(Job(**job), {"OMP_NUM_THREADS": str(cpus)}).wait()
    return status, ray.get_runtime_context().get_node_id()[:8]
