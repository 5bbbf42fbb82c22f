"""Measure the memory of this process and of its machine, and give back what it does not need."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

STATM = Path("/proc/self/statm")
MEMINFO = Path("/proc/meminfo")
# What limits a container (https://docs.kernel.org/admin-guide/cgroup-v2.html): its memory, what it takes of it, how
# much of that is cached files that the kernel gives up, and its share of the processors.
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
CGROUP_USAGE = Path("/sys/fs/cgroup/memory.current")
CGROUP_DETAILS = Path("/sys/fs/cgroup/memory.stat")
CGROUP_PROCESSORS = Path("/sys/fs/cgroup/cpu.max")


def total_bytes() -> int:
    """Return the memory of this machine in bytes, or of the container that this process runs in."""
    limit_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):
        limit_bytes = min(limit_bytes, int(CGROUP_LIMIT.read_text()))
    return limit_bytes


def available_bytes() -> int:
    """Return how many bytes programs can still take, on this machine or in the container of this process.

    It is the whole memory where the system does not say.
    """
    free_bytes = total_bytes()
    with contextlib.suppress(OSError, ValueError, KeyError):
        free_bytes = min(free_bytes, 1024 * _read_numbers(MEMINFO)["MemAvailable:"])
    with contextlib.suppress(OSError, ValueError, KeyError):
        cached_bytes = _read_numbers(CGROUP_DETAILS)["inactive_file"]
        used_bytes = int(CGROUP_USAGE.read_text()) - cached_bytes
        free_bytes = min(free_bytes, max(0, int(CGROUP_LIMIT.read_text()) - used_bytes))
    return free_bytes


def processor_count() -> float:
    """Return how many processor cores this process may use; a container may have a part of one."""
    usable = getattr(os, "sched_getaffinity", None)
    count = float(len(usable(0)) if usable else os.cpu_count() or 1)
    with contextlib.suppress(OSError, ValueError):
        quota, period = CGROUP_PROCESSORS.read_text().split()
        count = min(count, int(quota) / int(period))
    return count


def resident_bytes() -> int:
    """Return how many bytes of memory this process takes; 0 if the system does not say."""
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def release_free_memory() -> None:
    """Give free memory back to the system, which glibc's allocator would keep otherwise."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _read_numbers(file: Path) -> dict[str, int]:
    """Return the first number of each line by its first word."""
    return {words[0]: int(words[1]) for line in file.read_text().splitlines() if len(words := line.split()) > 1}
