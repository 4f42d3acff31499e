"""A real Slurm, started here on this one machine: ranks of srun, a queue for single runs and sweeps, preemption."""

import contextlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_launch import assert_equal_runs, overrides, start, steps, wait_for_step

CONF = """
ClusterName=here
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={at}/munge.sock
SlurmctldPort=26817
SlurmdPort=26818
StateSaveLocation={at}/state
SlurmdSpoolDir={at}/spool
SlurmctldPidFile={at}/slurmctld.pid
SlurmdPidFile={at}/slurmd.pid
SlurmctldLogFile={at}/slurmctld.log
SlurmdLogFile={at}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
SLOWER = [*overrides("moco"), "backbone.widths=[32,64,128]"]
SSL = [sys.executable, "-m", "ssl_cli", "train"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, ("slurmctld", "slurmd", "munged", "srun"))) or os.geteuid() != 0,
        reason="needs Slurm (Debian's slurm-wlm), and root to start it",
    ),
]


def call(*command: str, cwd: Path | None = None, timeout: float = 300) -> subprocess.CompletedProcess:
    return subprocess.run(
        command, cwd=cwd, timeout=timeout, stdin=subprocess.DEVNULL, stdout=-1, stderr=subprocess.STDOUT, text=True
    )


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """One controller and one node of four processors, which are rather fewer here."""
    at, patch = tmp_path_factory.mktemp("slurm"), pytest.MonkeyPatch()
    (at / "munge.key").write_bytes(os.urandom(1024))
    (at / "munge.key").chmod(0o400)
    for directory in (at, *at.parents[:2]):
        directory.chmod(0o755)  # munged insists
    for name in ("state", "spool"):
        (at / name).mkdir()
    (at / "slurm.conf").write_text(CONF.format(host=platform.node().split(".")[0], at=at))
    patch.setenv("SLURM_CONF", str(at / "slurm.conf"))
    patch.setenv("OMP_NUM_THREADS", "1")
    files = {"socket": "munge.sock", "key-file": "munge.key", "pid-file": "munged.pid"}
    files |= {"log-file": "munged.log", "seed-file": "munged.seed"}
    commands = [
        ["munged", "--force", "--foreground", *(f"--{option}={at / file}" for option, file in files.items())],
        ["slurmctld", "-D", "-c"],
        ["slurmd", "-D"],
    ]
    with contextlib.ExitStack() as ends, (at / "daemons.log").open("w") as log:
        for command in commands:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            ends.callback(process.wait)
            ends.callback(process.terminate)
            time.sleep(1)
        until(lambda: "idle" in call("sinfo", "-h", "-o", "%T").stdout)
        yield
        call("scancel", "--user=root")
        time.sleep(2)
    patch.undo()


def until(what, seconds: float = 120):
    limit = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < limit
        time.sleep(0.2)
    return found


def queue() -> list[str]:
    return call("squeue", "-h", "-o", "%A").stdout.split()


def goes_on_now(job: str) -> None:
    """Do not let a job wait the minutes that Slurm gives one that was preempted."""

    def state() -> str:
        call("scontrol", "update", f"JobId={job}", "StartTime=now")
        return call("squeue", "-h", "-j", job, "-o", "%T").stdout.strip()

    until(lambda: state() == "PENDING")
    until(lambda: state() != "PENDING")


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run of one rank that nobody stopped."""
    cwd = tmp_path_factory.mktemp("straight")
    process = start(cwd, *SLOWER, "trainer.threads=1", "hydra.run.dir=run")
    out = process.communicate(timeout=600)[0]
    assert process.returncode == 0, out
    return cwd / "run"


def test_the_tasks_of_srun_are_ranks_of_one_run(slurm, tmp_path, summary):
    done = call("srun", "-n", "2", *SSL, *overrides("moco"), cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("writes to") == done.stdout.count("scored once") == 1
    assert "on each of 2 ranks" in done.stdout
    (run,) = tmp_path.glob("outputs/*/*")
    assert summary(run)["state"] == "finished" and steps(run) == list(range(1, 13))


def test_a_mistake_is_said_once(slurm, tmp_path):
    done = call("srun", "-n", "2", *SSL, "method=simclrr", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout.count("error: there is no method 'simclrr'") == 1, done.stdout
    assert not (tmp_path / "outputs").exists()


def test_a_job_of_two_ranks_that_is_preempted_goes_on_by_itself(slurm, tmp_path):
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/sh\nsrun {' '.join(SSL)} {' '.join(map(repr, overrides('moco')))}\n")
    options = ["--requeue", "--ntasks=2", "--open-mode=append", "--output=job.log", "--parsable"]
    job = call("sbatch", *options, str(script), cwd=tmp_path).stdout.strip()
    (config,) = until(lambda: list(tmp_path.glob("outputs/*/*/config.yaml")))
    run = config.parent
    until(lambda: (run / "checkpoints/last.pt").exists())
    call("scontrol", "requeue", job)
    goes_on_now(job)
    until(lambda: job not in queue())
    out = (tmp_path / "job.log").read_text()
    assert "by SIGTERM; saved" in out and f"going on with {run.relative_to(tmp_path)}" in out, out
    assert list(tmp_path.glob("outputs/*/*")) == [run]
    process = start(tmp_path, *overrides("moco"), "trainer.devices=2", "hydra.run.dir=straight")
    assert process.communicate(timeout=600) and process.returncode == 0
    assert_equal_runs(run, tmp_path / "straight")


@pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="needs the extra `slurm`")
def test_a_run_in_the_queue_that_is_preempted_goes_on_by_itself(slurm, straight, tmp_path):
    limits = ["launcher=slurm", "launcher.cpus=1", "launcher.minutes=20", "trainer.threads=1"]
    process = start(tmp_path, *SLOWER, *limits, "hydra.run.dir=run")
    wait_for_step(tmp_path / "run", 5, process)
    (job,) = queue()
    call("scancel", "--signal=USR2", job)  # as Slurm does before the end of the time
    goes_on_now(job)
    out = process.communicate(timeout=300)[0]
    assert process.returncode == 0 and f"job run is queued as {job}" in out and "job run finished" in out, out
    assert "resumed at step" in (tmp_path / "run/train.log").read_text()
    assert_equal_runs(tmp_path / "run", straight)


@pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="needs the extra `slurm`")
def test_a_sweep_is_an_array_of_jobs(slurm, tmp_path, summary):
    limits = ["launcher=slurm", "launcher.cpus=1", "launcher.minutes=20"]
    process = start(tmp_path, "-m", *overrides("simclr"), *limits, "seed=0,1", "hydra.sweep.dir=sweep")
    out = process.communicate(timeout=600)[0]
    assert process.returncode == 0 and out.count(" finished") >= 2, out
    assert sorted(summary(file.parent)["seed"] for file in tmp_path.glob("sweep/*/summary.json")) == [0, 1]
