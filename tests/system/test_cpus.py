"""A container's limits count: quota files of both versions of control groups, as the kernel writes them."""

import math

import pytest

from ssl_cli.system import cpus


@pytest.fixture
def groups(tmp_path):
    def make(membership, files):
        (tmp_path / "cgroup").write_text(membership)
        for name, content in files.items():
            (tmp_path / "mount" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "mount" / name).write_text(content)
        return cpus._quota(tmp_path / "mount", tmp_path / "cgroup")

    return make


def test_version_2_inside_a_container(groups):
    assert groups("0::/\n", {"cpu.max": "150000 100000\n"}) == 1.5


def test_version_2_takes_the_tightest_group_on_the_way_up(groups):
    files = {"a/cpu.max": "400000 100000", "a/b/cpu.max": "max 100000", "other/cpu.max": "100000 100000"}
    assert groups("0::/a/b\n", files) == 4


def test_version_1(groups):
    files = {"cpu,cpuacct/job/cpu.cfs_quota_us": "250000", "cpu,cpuacct/job/cpu.cfs_period_us": "100000"}
    assert groups("5:cpu,cpuacct:/job\n3:memory:/job\n", files) == 2.5
    assert groups("5:cpu,cpuacct:/job\n", {"cpu,cpuacct/job/cpu.cfs_quota_us": "-1"}) == math.inf


def test_no_limit_and_no_control_groups(groups, tmp_path):
    assert groups("0::/\n", {"cpu.max": "max 100000"}) == math.inf
    assert cpus._quota(tmp_path / "mount", tmp_path / "absent") == math.inf


@pytest.mark.parametrize(("quota", "expected"), [(0.5, 1), (1.5, 2), (math.inf, 4)])
def test_threads_keep_to_what_may_be_used_unless_the_user_says_otherwise(monkeypatch, quota, expected):
    monkeypatch.setattr(cpus, "_quota", lambda *_: quota)
    monkeypatch.setattr(cpus.os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert cpus.usable_cpus() == expected and cpus.thread_count(64) == expected
    assert cpus.thread_count(1) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert cpus.thread_count(64) == 64
