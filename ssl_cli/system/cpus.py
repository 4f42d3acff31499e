"""How many processors this process may really use, which in a container is often fewer than the machine has."""

import math
import os
from pathlib import Path


def usable_cpus() -> int:
    """Return the processors that are allowed (affinity) and paid for (the container's CPU quota); at least 1.

    A container limited to 2 CPUs of a machine of 64 still sees 64: as many threads would take turns on two.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, _quota(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")))))


def thread_count(default: int) -> int:
    """Return how many threads a process should compute with: ``default``, PyTorch's choice, within what is usable.

    Where the user has set ``OMP_NUM_THREADS`` or ``MKL_NUM_THREADS``, that is what ``default`` reflects, and it stays.
    """
    chosen = any(os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"))
    return default if chosen else min(default, usable_cpus())


def _quota(mount: Path, membership: Path) -> float:
    """Return the tightest CPU quota of the control groups this process is in, in processors; infinite if there is none.

    Version 2 (``cpu.max``: "200000 100000" or "max 100000") and version 1 (``cpu.cfs_quota_us``, -1 for none). A limit
    on a parent group holds too. Inside a container the root of the mount is the container's own group.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return math.inf
    limits = [math.inf]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, read = mount, _quota_v2
        elif "cpu" in controllers.split(","):
            root, read = mount / controllers, _quota_v1
            root = root if root.is_dir() else mount / "cpu"
        else:
            continue
        group = root / path.lstrip("/")
        limits += [read(place) for place in (group, *group.parents) if place == root or root in place.parents]
    return min(limits)


def _quota_v2(group: Path) -> float:
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


def _quota_v1(group: Path) -> float:
    try:
        quota, period = (int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return quota / period if quota > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
