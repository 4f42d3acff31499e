"""Two hosts for real: two network namespaces, a cable between them, torchrun on both; the cable is cut."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_launch import assert_equal_runs, children, overrides, spawned, wait_for_step

ADDRESSES = {"ssl-a": "10.231.77.1", "ssl-b": "10.231.77.2"}


def ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True, capture_output=True, timeout=20)


def unable() -> str | None:
    if shutil.which("ip") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root, and ip"
    try:
        ip("netns", "add", "ssl-try")
        ip("netns", "del", "ssl-try")
    except subprocess.CalledProcessError as error:
        return f"no network namespaces here: {error.stderr.decode().strip()}"
    return None


@pytest.fixture
def hosts():
    """Two namespaces, each with one end of a cable."""
    if reason := unable():
        pytest.skip(reason)
    with contextlib.ExitStack() as cleanup:
        for name in ADDRESSES:
            ip("netns", "add", name)
            cleanup.callback(ip, "netns", "del", name)
        ip("link", "add", "cable-a", "netns", "ssl-a", "type", "veth", "peer", "name", "cable-b", "netns", "ssl-b")
        for name, address in ADDRESSES.items():
            end = name.replace("ssl", "cable")
            ip("-n", name, "address", "add", f"{address}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield


def start_both(cwd: Path, *args: str) -> list[subprocess.Popen]:
    """Start one rank on each host."""
    processes = []
    for name, address in ADDRESSES.items():
        env = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": name.replace("ssl", "cable")}
        command = ["ip", "netns", "exec", name, sys.executable, "-m", "torch.distributed.run"]
        command += ["--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "0", "--local-addr", address]
        command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{ADDRESSES['ssl-a']}:29517", "--rdzv-id", "two"]
        # Which of them keeps the store torchrun guesses by the host's name, and in a namespace both have the same.
        command += ["--rdzv-conf", f"is_host={int(name == 'ssl-a')}"]
        command += ["-m", "ssl_cli", "train", *args]
        with (cwd / f"{name}.out").open("a") as out:
            processes.append(subprocess.Popen(command, cwd=cwd, env=env, stdout=out, stderr=subprocess.STDOUT))
    return processes


def until_alone(process: subprocess.Popen, seconds: float = 30) -> None:
    """Return when no child of a process is alive."""
    limit = time.monotonic() + seconds
    states = ["running"]
    while any(" Z " not in state for state in states):
        assert time.monotonic() < limit, states
        time.sleep(0.5)
        states = [Path(f"/proc/{pid}/stat").read_text() for pid in children(process)]


@pytest.mark.slow
def test_a_cut_cable_stops_the_run_and_it_goes_on_exactly(hosts, tmp_path, summary):
    same = [*overrides("moco"), "trainer.threads=1"]  # each host could use all of this machine's cores
    process = spawned(tmp_path, *same, "hydra.run.dir=straight")
    assert process.communicate(timeout=1000) and process.returncode == 0

    both = start_both(tmp_path, *same, "trainer.rank_timeout=20", "hydra.run.dir=run")
    try:
        wait_for_step(tmp_path / "run", 6, both[0])
        ip("-n", "ssl-b", "link", "set", "cable-b", "down")
        assert both[0].wait(timeout=200) == 1
        # Of the other the rank ends, though the store, on the first host, does not answer; its torchrun stays longer.
        limit = time.monotonic() + 200
        while "error: rank 1 of 2 lost rank" not in (tmp_path / "ssl-b.out").read_text():
            assert time.monotonic() < limit
            time.sleep(0.5)
        until_alone(both[1])
    finally:
        for process in both:
            process.kill()
    first = (tmp_path / "ssl-a.out").read_text()
    assert "error: rank 0 of 2 lost rank 1" in first, first
    assert summary(tmp_path / "run")["state"] == "failed"

    ip("-n", "ssl-b", "link", "set", "cable-b", "up")
    both = start_both(tmp_path, "resume=run")
    try:
        assert [process.wait(timeout=1000) for process in both] == [0, 0]
    finally:
        for process in both:
            process.kill()
    assert_equal_runs(tmp_path / "run", tmp_path / "straight")
