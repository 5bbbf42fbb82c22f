"""How much memory this process has, and giving back what it does not need."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

STATM = Path("/proc/self/statm")
GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def machine() -> int:
    """How many bytes this machine has, or the container that we are in."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):
        memory = min(memory, int(GROUP_LIMIT.read_text()))
    return memory


def resident() -> int:
    """How many bytes of memory this process takes; 0 where the system does not say."""
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def trim() -> None:
    """Give back to the system what is free; the allocator of glibc keeps it otherwise."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
