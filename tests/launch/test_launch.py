"""One run on several processes, as a user starts it: by torchrun, or by ssl itself; killed, and gone on with."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import tracked
import warm
from experiments import tensors

from ssl_cli.launch.launcher import outcome
from ssl_cli.launch.place import Place, per_node
from ssl_cli.launch.ranks import share_of_cores
from ssl_cli.launch.start import check_ranks
from ssl_cli.runs import checkpoint
from ssl_cli.runs.job import Job

STEPS = 12  # of 4 an epoch: a checkpoint every 4
# Norms of their own: few messages, which a busy machine is slow with; and then rank 0's statistics must go to all.
SMALL = ["backbone.widths=[8,16,32]", "trainer.synchronise_norms=false"]
SHORT = [*SMALL, "trainer.batch_size=256", f"trainer.max_steps={STEPS}", "trainer.log_every=1"]
SHORT += ["~probes.linear", "~probes.propagate"]
TRACKED = ["tracker=tensorboard"] if find_spec("tensorboard") else []
TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "0", "--rdzv-backend", "c10d"]


def start(cwd: Path, *args: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, "-m", "ssl_cli", "train", *args]
    return subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def spawned(cwd: Path, *args: str) -> subprocess.Popen:
    return start(cwd, "trainer.devices=2", *args)


def children(process: subprocess.Popen) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def wait_for_step(run: Path, step: int, process: subprocess.Popen, seconds: float = 600) -> None:
    """Return when the metrics file has the row of a step."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit and process.poll() is None:
        if (run / "metrics.jsonl").exists() and f'"step": {step},' in (run / "metrics.jsonl").read_text():
            return
        time.sleep(0.01)
    raise AssertionError(process.communicate()[0])


def state(run: Path) -> dict[str, torch.Tensor]:
    content = checkpoint.load(run / "checkpoints/last.pt")
    return tensors({key: content[key] for key in ("model", "optimizer")})


def steps(run: Path) -> list[int]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row["step"] for row in rows if "loss" in row]


def assert_equal_runs(run: Path, straight: Path) -> None:
    expected, found = state(straight), state(run)
    assert expected.keys() == found.keys() and len(expected) > 10
    assert [key for key, value in expected.items() if not torch.equal(value, found[key])] == []
    assert steps(run) == list(range(1, STEPS + 1))  # no row doubled, none missing


def overrides(method: str) -> list[str]:
    return [*SHORT, f"method={method}", *(["dataset.labels=20/class"] if method == "flexmatch" else [])]


def by_torchrun(cwd: Path, *args: str) -> Path:
    """Train on two ranks, and return the run."""
    process = start(cwd, *args, launcher=tuple(TORCHRUN))
    out = process.communicate(timeout=1000)[0]
    assert process.returncode == 0, out
    return only_run(cwd, out)


def by_environment(cwd: Path, *args: str) -> Path:
    """Train on two ranks that have in their environment what torchrun puts there, and return the run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    place |= {"TORCHELASTIC_RUN_ID": "two", "OMP_NUM_THREADS": "1"}
    ranks = []
    for rank in ("0", "1"):
        env, log = {**os.environ, **place, "RANK": rank, "LOCAL_RANK": rank}, cwd / rank
        log.mkdir()
        ranks.append(warm.start(warm.command, ["train", *args], cwd, log=log, env=env))
    for rank in ranks:
        rank.join(300)
    said = "".join((cwd / rank / stream).read_text() for rank in ("0", "1") for stream in ("out", "err"))
    assert [rank.exitcode for rank in ranks] == [0, 0], said
    return only_run(cwd, said)


def only_run(cwd: Path, said: str) -> Path:
    (run,) = cwd.glob("outputs/*/*")  # one directory, though two processes were started
    assert said.count("writes to") == 1 and said.count("scored once") == 1  # and one that speaks
    return run


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Runs of two ranks that nobody stopped, by method; started by torchrun."""
    runs = {}

    def run(method: str) -> Path:
        if method not in runs:
            runs[method] = by_torchrun(tmp_path_factory.mktemp(method), *overrides(method))
        return runs[method]

    return run


@pytest.mark.parametrize("train", [by_environment, pytest.param(by_torchrun, marks=pytest.mark.slow)])
def test_torchrun_is_adopted(tmp_path, summary, train):
    few = ["trainer.batch_size=64", "trainer.max_steps=3", "method.queue_size=128", "backbone.widths=[4,8]"]
    run = train(tmp_path, *overrides("moco"), *few, *TRACKED)
    assert summary(run)["state"] == "finished" and summary(run)["images_seen"] == 3 * 64
    assert json.loads((run / "env.json").read_text())["ranks"] == 2
    assert steps(run) == [1, 2, 3]
    if TRACKED:
        (events,) = (run / "tensorboard").iterdir()  # one rank writes to a tracker
        assert [step for step, _ in tracked.tensorboard(events.parent)["loss"]] == [1, 2, 3]


@pytest.mark.slow
def test_a_killed_rank_stops_the_others_and_the_run_goes_on(straight, tmp_path, summary):
    process = spawned(tmp_path, *overrides("moco"), "hydra.run.dir=run")
    wait_for_step(tmp_path / "run", 6, process)
    ranks = children(process)
    os.kill(ranks[1], signal.SIGKILL)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    errors = [line for line in out.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and "rank 1 of 2 was killed by signal 9" in errors[0] and "Traceback" not in out
    assert "ssl train resume=run" in errors[0]
    assert not any(Path(f"/proc/{rank}").exists() for rank in ranks)
    assert summary(tmp_path / "run")["state"] == "failed" and "rank 1" in summary(tmp_path / "run")["error"]
    process = start(tmp_path, "resume=run")
    out = process.communicate(timeout=1000)[0]
    assert process.returncode == 0, out
    assert_equal_runs(tmp_path / "run", straight("moco"))


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(20))
def test_kills_at_random_moments(straight, tmp_path, attempt):
    """20 of 20: a random rank is killed at a random moment; the others stop, and resuming is exact."""
    draw = random.Random(attempt)
    method = ["moco", "dino", "swav", "nnclr"][attempt % 4]
    process = spawned(tmp_path, *overrides(method), "hydra.run.dir=run")
    wait_for_step(tmp_path / "run", draw.randint(1, STEPS - 2), process)
    time.sleep(draw.random() * 0.3)
    victim = draw.randint(0, 1)
    ranks = children(process)
    os.kill(ranks[victim], signal.SIGKILL)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 1 and f"rank {victim} of 2 was killed by signal 9" in out, out
    assert not any(Path(f"/proc/{rank}").exists() for rank in ranks)
    process = start(tmp_path, "resume=run")
    out = process.communicate(timeout=1000)[0]
    assert process.returncode == 0, out
    assert_equal_runs(tmp_path / "run", straight(method))


@pytest.mark.slow
def test_a_rank_that_hangs_is_named(tmp_path):
    process = spawned(tmp_path, *overrides("simclr"), "trainer.rank_timeout=20", "hydra.run.dir=run")
    wait_for_step(tmp_path / "run", 3, process)
    ranks = children(process)
    os.kill(ranks[1], signal.SIGSTOP)
    out = process.communicate(timeout=120)[0]
    assert process.returncode == 1
    assert "error: rank 1 of 2 hangs: the others have waited 20 s for it (trainer.rank_timeout)" in out
    assert not any(Path(f"/proc/{rank}").exists() for rank in ranks)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_ranks_at_the_same_step(straight, tmp_path, number):
    process = spawned(tmp_path, *overrides("moco"), "hydra.run.dir=run")
    wait_for_step(tmp_path / "run", 5, process)
    process.send_signal(number)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + number and "saved. To go on" in out, out
    process = start(tmp_path, "resume=run")
    assert process.communicate(timeout=1000) and process.returncode == 0
    assert_equal_runs(tmp_path / "run", straight("moco"))


@pytest.mark.slow
def test_another_number_of_ranks_goes_on_and_says_what_differs(tmp_path, summary):
    process = spawned(tmp_path, *overrides("simclr"), "hydra.run.dir=run")
    wait_for_step(tmp_path / "run", 5, process)
    process.terminate()
    process.communicate(timeout=60)
    process = start(tmp_path, "resume=run", "trainer.devices=1")
    out = process.communicate(timeout=1000)[0]
    assert process.returncode == 0 and "1 ranks go on where 2 were: the same batches, but changed" in out
    assert steps(tmp_path / "run") == list(range(1, STEPS + 1)) and summary(tmp_path / "run")["state"] == "finished"


@pytest.mark.slow
def test_torchrun_restarts_and_the_run_goes_on_by_itself(straight, tmp_path):
    launcher = tuple("3" if part == "0" else part for part in TORCHRUN)
    process = start(tmp_path, *overrides("moco"), launcher=launcher)
    limit = time.monotonic() + 600
    while not (found := list(tmp_path.glob("outputs/*/*/checkpoints/last.pt"))):
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.01)
    os.kill(children(process)[1], signal.SIGKILL)
    out = process.communicate(timeout=400)[0]
    assert process.returncode == 0 and "going on with" in out, out
    (run,) = tmp_path.glob("outputs/*/*")
    assert run == found[0].parent.parent
    assert_equal_runs(run, straight("moco"))


@pytest.mark.slow
def test_ranks_that_torchrun_started_say_what_is_wrong_once(tmp_path):
    process = start(tmp_path, "method=simclrr", launcher=tuple(TORCHRUN))
    out = process.communicate(timeout=200)[0]
    assert process.returncode == 1 and out.count("error: there is no method 'simclrr'") == 1, out
    assert not (tmp_path / "outputs").exists()


def test_a_batch_that_cannot_be_shared_is_refused_before_anything_starts(ssl):
    outcome = ssl("train", "trainer.devices=3", process="light")
    assert outcome.status == 2 and "torch" not in outcome.modules
    assert outcome.err == (
        "error: trainer.batch_size=256 cannot be shared by 3 processes; write trainer.batch_size=255\n"
    )


def test_the_share_of_a_batch_in_parts():
    check_ranks({"batch_size": 64, "accumulate": 4}, 2)
    with pytest.raises(Exception, match="by 4 processes in 3 parts each; write trainer.batch_size=60"):
        check_ranks({"batch_size": 64, "accumulate": 3}, 4)


def test_ranks_share_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert share_of_cores(Place(0, 2, 0, 2)) == 4 and share_of_cores(Place(0, 16, 0, 16)) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert share_of_cores(Place(0, 2, 0, 2)) == 1
    assert share_of_cores(Place(0, 2, 0, 2, launcher="torchrun")) == 4  # which sets it by itself


def test_slurm_says_how_many_tasks_a_node_has():
    assert per_node("2(x3),1") == [2, 2, 2, 1] and per_node("4") == [4]


def test_exit_statuses_have_words():
    assert [outcome(status) for status in (0, 143, 2)] == ["finished", "was interrupted", "failed with exit status 2"]
    assert outcome(-9) == "was killed by signal 9 (SIGKILL)"
    assert Job({}, "run", False, []).resume is False
