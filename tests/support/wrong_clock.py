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


def make_clock(folder: Path, offset: str = "+0") -> dict[str, str]:
    """Make a clock in `folder` that is off by `offset` ("+1h"), and return the variables of the processes that have it.

    What measures durations goes on as it is, as on a machine whose clock was set.
    """
    library = find_library()
    folder.mkdir()
    set_clock(folder, offset)
    # libfaketime 0.9.10 breaks `clock_nanosleep`, by which Python sleeps.
    (folder / "sitecustomize.py").write_text(
        "import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds) and None\n"
    )
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(folder / "offset"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # By the times of files gunicorn knows whether its workers live.
        "NO_FAKE_STAT": "1",
        "PYTHONPATH": str(folder),
    }


def set_clock(folder: Path, offset: str) -> None:
    """Set a clock that `make_clock` made."""
    (folder / "offset").write_text(offset)
