"""Jobs in Slurm's queue, by submitit: for sweeps, and for single runs."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ssl_cli.launch.launcher import Launcher, name_of, require, start
from ssl_cli.runs.job import Job


class Task:
    """What each task of a Slurm job does. Slurm's warning, before a time limit or a preemption, has it save and queue
    again; then it goes on from there.
    """

    def __init__(self) -> None:
        self.process = None

    def __call__(self, job: dict[str, Any]) -> int:
        """Do the job in a process of its own. Returns its exit status, if that is 0."""
        self.process = start(Job(**job))
        status = self.process.wait()
        if status:
            raise SystemExit(f"exit status {status}, see {job['target']}.log")
        return status

    def checkpoint(self, job: dict[str, Any]):  # noqa: ANN201 (submitit is an extra)
        """Make the run save; return the job to queue again."""
        from submitit.helpers import DelayedSubmission

        if self.process is not None:
            self.process.terminate()
            # Not process.wait(): a signal has called this out of that very call, which holds a lock.
            os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(Task(), job)


class Slurm(Launcher):
    """A Slurm job a job, as an array.

    Args:
        partition, account, qos, constraint: as of sbatch; None: the cluster's defaults.
        minutes: time limit; a run that needs longer saves, queues again and goes on.
        nodes: machines a job.
        tasks: ranks on each of them, or 1 and ``trainer.devices`` ranks.
        cpus: of each task.
        gpus: of each machine.
        memory: GB of each machine; None: the cluster's default.
        at_a_time: jobs of the sweep that may run at the same time.
        warning: seconds before the end of the time limit that the run is told to save.
        requeues: how often a job may run out of time.
        setup: shell lines before the run (``module load ...``).
        extra: further parameters of sbatch, by their long names.
        wait: stay until all have ended; else return when they are queued.
        cluster: ``slurm``; for tests ``local`` (processes here) or ``debug`` (this process).
    """

    def __init__(
        self,
        *,
        partition: str | None,
        account: str | None,
        qos: str | None,
        constraint: str | None,
        minutes: int,
        nodes: int,
        tasks: int,
        cpus: int,
        gpus: int,
        memory: float | None,
        at_a_time: int,
        warning: int,
        requeues: int,
        setup: Sequence[str],
        extra: Mapping[str, Any],
        wait: bool,
        cluster: str,
    ):
        self.wait, self.cluster, self.requeues = wait, cluster, requeues
        self.parameters = {
            "timeout_min": minutes,
            "nodes": nodes,
            "tasks_per_node": tasks,
            "cpus_per_task": cpus,
            "gpus_per_node": gpus,
            "mem_gb": memory,
            "slurm_partition": partition,
            "slurm_account": account,
            "slurm_qos": qos,
            "slurm_constraint": constraint,
            "slurm_array_parallelism": at_a_time,
            "slurm_signal_delay_s": warning,
            "slurm_setup": list(setup) or None,
            "slurm_additional_parameters": {"requeue": True, **extra},
        }

    def executor(self, folder: Path):  # noqa: ANN201 (submitit is an extra)
        """Return submitit's executor; what it writes, scripts and logs, goes to ``folder``."""
        submitit = require("submitit", "slurm")
        executor = submitit.AutoExecutor(folder, cluster=self.cluster, slurm_max_num_timeout=self.requeues)
        executor.update_parameters(**{key: value for key, value in self.parameters.items() if value is not None})
        return executor

    def launch(self, jobs: Sequence[Job]) -> list[int]:
        """Queue the jobs, and wait for them unless told otherwise."""
        folder = Path(jobs[0].target).parent / "slurm"
        executor = self.executor(folder)
        executor.update_parameters(name=f"ssl-{name_of(jobs[0])}"[:60])
        queued = executor.map_array(Task(), [asdict(job) for job in jobs])
        for job, task in zip(jobs, queued, strict=True):
            print(f"job {name_of(job)} is queued as {task.job_id}", flush=True)
        if not self.wait:
            print(f"not waited for (launcher.wait=false); logs: {folder}")
            return [0] * len(jobs)
        print("waiting; after Ctrl-C the jobs go on without this process", flush=True)
        statuses: dict[int, int] = {}
        while len(statuses) < len(jobs):
            for i, task in enumerate(queued):
                if i not in statuses and task.done():
                    error = task.exception()
                    statuses[i] = 0 if error is None else 1
                    said = "finished" if error is None else f"failed: {str(error).strip().splitlines()[-1]}"
                    print(f"job {name_of(jobs[i])} {said}", file=sys.stderr if error else sys.stdout, flush=True)
            time.sleep(1)
        return [statuses[i] for i in range(len(jobs))]
