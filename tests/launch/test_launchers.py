"""Sweeps elsewhere: several jobs at a time, a Ray cluster, Slurm's queue; and sweeps that are started again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from experiments import composed
from omegaconf import OmegaConf

from ssl_cli.config.build import instantiate
from ssl_cli.config.schema import GROUPS
from ssl_cli.errors import UserError
from ssl_cli.launch import local
from ssl_cli.launch.again import going_on
from ssl_cli.launch.launcher import require
from ssl_cli.launch.slurm import Slurm
from ssl_cli.runs.job import Job

QUICK = [
    "backbone.widths=[8,16,32]",
    "trainer.max_steps=8",
    "trainer.batch_size=256",
    "trainer.log_every=1",
    *("~probes.linear", "~probes.propagate"),
]


def whole(**config) -> dict:
    """Return a config that has all groups, as that of a run must."""
    return {**{group: {} for group in GROUPS}, **config}


def job(target: Path, **config) -> Job:
    return Job(whole(**config), str(target), chosen=False, overrides=[], again=True)


def launcher(name: str, *overrides: str, extra: str = "launcher.cpus=4"):
    overrides = [f"launcher={name}", *(f"launcher.{item}" for item in overrides), *([extra] if name == "slurm" else [])]
    return instantiate(composed("train", overrides).launcher)


def begun(path: Path, state: str, **config) -> None:
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(whole(**config))))
    (path / "summary.json").write_text(json.dumps({"state": state}))


def test_a_sweep_that_is_started_again_does_what_is_missing(tmp_path, capsys):
    begun(tmp_path / "0", "finished", seed=0)
    begun(tmp_path / "1", "interrupted", seed=1)
    begun(tmp_path / "2", "running", seed=7)  # another job has that name
    (tmp_path / "3").mkdir()
    (tmp_path / "3/summary.json").write_text(json.dumps({"state": "failed"}))  # before it had a run
    assert going_on(job(tmp_path / "0", seed=0))[1] is True
    again, finished = going_on(job(tmp_path / "1", seed=1))
    assert again.resume and not finished and again.target == str(tmp_path / "1")
    for number in (2, 3, 4):
        again, finished = going_on(job(tmp_path / str(number), seed=number))
        assert not again.resume and not finished
    assert not (tmp_path / "3/summary.json").exists()
    assert "0 is finished; nothing to do" in capsys.readouterr().out


def test_outside_torchrun_and_slurm_a_single_run_is_a_new_one(tmp_path, monkeypatch):
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    begun(tmp_path / "outputs/day/run", "failed", seed=0)
    (tmp_path / "outputs/day/run/env.json").write_text(json.dumps({"launch": "torchrun-seven"}))
    single = Job(whole(seed=0), "outputs/day/other", chosen=False, overrides=[])
    assert not going_on(single)[0].resume
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "seven")  # the same launch, started again
    assert going_on(single)[0].target == "outputs/day/run" and going_on(single)[0].resume
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "eight")
    assert not going_on(single)[0].resume


@pytest.fixture
def sleepers(monkeypatch):
    """Jobs that sleep instead of training: their environments and the times at which they ran."""
    seen = []

    def start(job: Job, env: dict) -> subprocess.Popen:
        began = time.monotonic()
        code = f"import sys, time; time.sleep({job.config['seconds']}); sys.exit({job.config.get('status', 0)})"
        process = subprocess.Popen([sys.executable, "-S", "-c", code], start_new_session=True)
        seen.append({"env": env, "began": began})
        return process

    monkeypatch.setattr(local, "start", start)
    return seen


def test_local_runs_so_many_at_a_time_and_shares_the_cores(sleepers, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    jobs = [job(tmp_path / str(i), seconds=0.2, status=2 * (i == 1)) for i in range(3)]
    assert launcher("local", "jobs=2", "gpus=[5,7]").launch(jobs) == [0, 2, 0]
    assert [start["env"]["OMP_NUM_THREADS"] for start in sleepers] == ["4", "4", "4"]
    assert {start["env"]["CUDA_VISIBLE_DEVICES"] for start in sleepers} == {"5", "7"}
    assert sleepers[2]["began"] - min(start["began"] for start in sleepers) >= 0.2  # only when one had ended
    captured = capsys.readouterr()
    assert "job 1 failed with exit status 2" in captured.err and "job 2 finished" in captured.out


def test_a_signal_reaches_the_jobs_that_run_and_the_others_do_not_start(sleepers, tmp_path):
    def interrupt() -> None:
        while not sleepers:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=interrupt, daemon=True).start()
    statuses = launcher("local", "jobs=1").launch([job(tmp_path / str(i), seconds=60) for i in range(3)])
    assert statuses == [-signal.SIGTERM, 143, 143] and len(sleepers) == 1


def test_a_missing_extra_is_named():
    with pytest.raises(UserError, match=r"launcher=ray needs no_such_module.*pip install 'ssl-cli\[ray\]'"):
        require("no_such_module", "ray")


def test_what_slurm_is_asked_for(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    slurm = launcher(
        "slurm", "partition=gpu", "minutes=90", "gpus=4", "tasks=4", "warning=60", extra="+launcher.extra.comment=hi"
    )
    assert isinstance(slurm, Slurm)
    script = slurm.executor(tmp_path)._executor._make_submission_file_text("true", "1")
    for line in (
        *("partition=gpu", "time=90", "gpus-per-node=4", "ntasks-per-node=4", "cpus-per-task=4", "nodes=1"),
        *("requeue", "signal=USR2@60", "comment=hi", "open-mode=append"),
    ):
        assert f"#SBATCH --{line}\n" in script, script
    assert "account" not in script and "--mem" not in script


# The rest does real work.


def swept(cwd: Path, *args: str, **env: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "ssl_cli", "train", *args, *QUICK]
    env = {**os.environ, "OMP_NUM_THREADS": "1", **env}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=600)


def states(sweep: Path) -> list[str]:
    return [json.loads(file.read_text())["state"] for file in sorted(sweep.glob("*/summary.json"))]


def steps(run: Path) -> list[int]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row["step"] for row in rows if "loss" in row]


@pytest.mark.slow
def test_a_local_sweep_is_interrupted_and_goes_on(tmp_path):
    sweep = ["-m", "launcher=local", "seed=1,2,3", "hydra.sweep.dir=sweep"]
    command = [sys.executable, "-m", "ssl_cli", "train", *sweep, *QUICK]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True)
    limit = time.monotonic() + 300
    while not any(tmp_path.glob("sweep/*/metrics.jsonl")) and time.monotonic() < limit:
        time.sleep(0.02)
    process.terminate()
    out = process.communicate(timeout=100)[0]
    assert process.returncode in (15, 143) and "to go on with the sweep: ssl train" in out, out
    assert states(tmp_path / "sweep").count("finished") < 3
    done = swept(tmp_path, *sweep)
    assert done.returncode == 0 and "3 of 3 jobs finished" in done.stdout, done.stdout + done.stderr
    runs = sorted(path.parent for path in tmp_path.glob("sweep/*/metrics.jsonl"))
    assert len(runs) == 3 and all(steps(run) == list(range(1, 9)) for run in runs)


@pytest.mark.slow
def test_a_job_with_a_mistake_does_not_stop_a_local_sweep(tmp_path):
    done = swept(tmp_path, "-m", "launcher=local", "optimizer.lr=0.001,-1", "hydra.sweep.dir=sweep")
    assert done.returncode == 1 and "optimizer.lr=-1" in done.stderr
    assert states(tmp_path / "sweep") == ["finished", "failed"]


@pytest.mark.slow
def test_ray_spreads_a_sweep_over_two_nodes(tmp_path):
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        where = f"launcher.address={cluster.address}"
        done = swept(tmp_path, "-m", "launcher=ray", where, "seed=1,2", "hydra.sweep.dir=s")
    finally:
        cluster.shutdown()
        ray.shutdown()
    assert done.returncode == 0 and "2 of 2 jobs finished" in done.stdout, done.stdout + done.stderr
    machines = {line.split()[-1] for line in done.stdout.splitlines() if " finished on " in line}
    assert len(machines) == 2, done.stdout


@pytest.mark.slow
def test_a_preempted_job_saves_queues_again_and_goes_on(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ssl train"])
    config = composed("train", ["name=simclr", *QUICK, "trainer.max_steps=30"])
    task = Job(OmegaConf.to_container(config, resolve=True), "run", chosen=False, overrides=[], again=True)
    slurm = launcher("slurm", "cluster=local", extra="launcher.cpus=1")
    interrupted = threading.Event()

    def interrupt() -> None:
        while not (tmp_path / "run/metrics.jsonl").exists():
            time.sleep(0.05)
        (pickle,) = (tmp_path / "slurm").glob("*_submitted.pkl")
        controller = pickle.name.split("_")[0]
        (task,) = Path(f"/proc/{controller}/task/{controller}/children").read_text().split()
        os.kill(int(task), signal.SIGUSR2)  # as Slurm does
        interrupted.set()

    threading.Thread(target=interrupt, daemon=True).start()
    assert slurm.launch([task]) == [0] and interrupted.is_set()
    assert json.loads((tmp_path / "run/summary.json").read_text())["state"] == "finished"
    assert steps(tmp_path / "run") == list(range(1, 31))
    log = (tmp_path / "run.log").read_text()
    assert "saved. To go on" in log and "going on with run" in log
