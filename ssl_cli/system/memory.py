"""The C library's memory, told to keep what it has: otherwise much of a small model's step on a CPU is page faults.

glibc maps every block above 32 MB anew and gives it back when it is freed, so each large activation costs a page fault
per 4 KiB, in every step. Kept and reused, it costs nothing; the process stays some 10-35% larger.
"""

import ctypes
import os
import platform
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h


def keep_freed_memory() -> bool:
    """Set glibc's malloc to keep and reuse large blocks. Call it before the first tensor is made.

    The environment has the last word: where ``MALLOC_*`` or ``LD_PRELOAD`` (another allocator) is set, nothing is done.

    Returns:
        Whether it was done; False also where the C library is not glibc.
    """
    chosen = any(name.startswith("MALLOC_") for name in os.environ) or "LD_PRELOAD" in os.environ
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc" or chosen:
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 64 * 2**20))
    return all(mallopt(name, value) == 1 for name, value in settings)


def peak_memory() -> int:
    """Return the largest resident size that this process has had, in bytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
