"""Processes with a clock of their own: libfaketime answers them in place of the C library."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import pytest

LIBRARY = "faketime/libfaketime.so.1"


def find_library() -> Path:
    """The library, as distributions install it; skips where there is none, unless it is required."""
    folders = (Path("/usr/lib") / (sysconfig.get_config_var("MULTIARCH") or ""), Path("/usr/lib"), Path("/usr/lib64"))
    for folder in folders:
        if (folder / LIBRARY).exists():
            return folder / LIBRARY
    if os.environ.get("CHATSITE_REQUIRE_FAKETIME") == "1":
        pytest.fail("libfaketime is required, and not installed.")
    pytest.skip("NOT TESTED WITH WRONG CLOCKS: libfaketime is not installed.")


def clock_environment(clock: str | Path) -> dict[str, str]:
    """Variables for a process whose clock is off by `clock` ("+1h"), or by what a file says, whenever it is read.

    What measures durations goes on as it is, as on a machine whose clock was set.
    """
    offset = {"FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"} if isinstance(clock, Path) else {}
    return {
        "LD_PRELOAD": str(find_library()),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # The times of files tell gunicorn whether its workers live, and SQLite nothing.
        "NO_FAKE_STAT": "1",
        **(offset or {"FAKETIME": str(clock)}),
    }
