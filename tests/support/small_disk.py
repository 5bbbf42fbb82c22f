"""A file system with little room, which is full for real."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

BLOCK_BYTES = 65536


def mount_command(folder: Path, megabytes: int) -> list[str]:
    """What to put before a command that is to see a file system of so many megabytes in `folder`, and nobody else.

    It goes away with the last process that sees it. Skips where that cannot be done, unless it is required.
    """
    # Whoever is not root may mount in a user namespace.
    flags = "-m" if os.getuid() == 0 else "-Urm"
    mount = f"mount -t tmpfs -o size={megabytes}m none '{folder}'"
    folder.mkdir(parents=True)
    if shutil.which("unshare"):
        tried = subprocess.run(["unshare", flags, "sh", "-c", mount], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            return ["unshare", flags, "sh", "-c", f'{mount} && exec "$@"', "sh"]
    if os.environ.get("CHATSITE_REQUIRE_MOUNT") == "1":
        pytest.fail("A small file system is required, and cannot be mounted.")
    pytest.skip("NOT TESTED ON A FULL DISK: no file system can be mounted.")


def seen_by(process_id: int, folder: Path) -> Path:
    """The path under which everybody finds what a process has mounted in `folder`."""
    return Path(f"/proc/{process_id}/root") / folder.relative_to("/")


def fill(folder: Path) -> Path:
    """Fill the file system to its last byte, and return the file that does."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (BLOCK_BYTES, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler
