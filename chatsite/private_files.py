"""Files of the site are for the account that it runs under: conversations, keys and tokens are in them."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import URL

PRIVATE_UMASK = 0o077
FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# SQLite gives the files beside a database the mode of the database.
SQLITE_SUFFIXES = ("", "-wal", "-shm", "-journal")


def create_files_privately() -> None:
    """Let all files that this process and its children create be for their owner only; each program begins with it."""
    os.umask(PRIVATE_UMASK)


def restrict_database(url: str | URL) -> None:
    """Take the files of an SQLite database, which may be older than the rule, from everybody but their owner.

    Files of another account stay as they are.
    """
    # Imported here, because gunicorn's master and the small commands do without it.
    from sqlalchemy import make_url

    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return
    for suffix in SQLITE_SUFFIXES:
        file = Path(parsed.database + suffix)
        with contextlib.suppress(OSError):
            mode = stat.S_IMODE(file.stat().st_mode)
            if mode & FOR_OTHERS:
                file.chmod(mode & ~FOR_OTHERS)
