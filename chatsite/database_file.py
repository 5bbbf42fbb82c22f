"""The file of a SQLite database and its two companions, without SQLAlchemy: gunicorn's master imports this.

In WAL mode the newest commits are in `-wal` until a checkpoint writes them into the file, and `-shm` holds what all
processes that have the file open share (sqlite.org/walformat.html). The three belong together.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite

from chatsite.errors import DatabaseReplacedError

SUFFIXES = ("", "-wal", "-shm")
# SQLite locks these bytes of the file, wherever its end is (sqlite.org/fileformat.html#the_lock_byte_page).
LOCK_START, LOCK_LENGTH = 0x40000000, 512
# Who has the shared memory open holds a lock on this byte of it ("DMS" in sqlite.org/src/file/src/os_unix.c).
SHM_LOCK_START = 128
PROBE_SECONDS = 0.05

# Device and inode of the three files; None for one that is not there.
FileIdentity = tuple[tuple[int, int] | None, ...]


def list_files(file: Path) -> list[Path]:
    """Return the paths of a database: the file itself, its write-ahead log and its shared memory."""
    return [file.with_name(file.name + suffix) for suffix in SUFFIXES]


def create_file(file: Path) -> None:
    """Create an empty database that only its owner can read, unless there is one. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def to_uri(file: Path, mode: str = "rw") -> str:
    """Return the address with which SQLite opens a file and never creates one; `mode` is `rw` or `ro`.

    Where nothing can be written, the file can only be read as one that nobody changes.
    """
    return f"{file.absolute().as_uri()}?{'immutable=1' if is_unchangeable(file) else f'mode={mode}'}"


def is_unchangeable(file: Path) -> bool:
    """Return whether a database has no log and cannot get one, since its folder is read-only."""
    return file.exists() and not os.access(file.parent, os.W_OK) and not list_files(file)[1].exists()


class OpenedFile:
    """The file that this process has open, which another one can remove or replace without anybody noticing.

    SQLite goes on with the file it has opened. What it stores after that is gone when the process ends.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._first_opened: tuple[int, int] | None = None

    def identify(self) -> FileIdentity:
        """Return what a connection has just opened. Raises DatabaseReplacedError if the first opened another file."""
        identity = _identify(self._file)
        if self._first_opened is None:
            self._first_opened = identity[0]
        if identity[0] is None or identity[0] != self._first_opened:
            raise DatabaseReplacedError
        return identity

    def require_unchanged(self, opened: FileIdentity) -> None:
        """Raise DatabaseReplacedError unless what a connection has opened is what lies there, and not emptied."""
        current = _identify(self._file)
        if any(mine is not None and mine != theirs for mine, theirs in zip(opened, current, strict=True)):
            raise DatabaseReplacedError
        if self._file.stat().st_size == 0:
            raise DatabaseReplacedError


def _identify(file: Path) -> FileIdentity:
    return tuple(_find_inode(path) for path in list_files(file))


def _find_inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def lock_out_others(file: Path) -> Iterator[bool]:
    """Keep other processes from opening the database in the block. Yields False if one has it open now.

    These are SQLite's own exclusive locks, which work on damaged files too, and on shared memory that is still in use
    after its database was moved away. The process itself may have no connection: closing a file drops all locks that
    its process holds on it. Raises OSError.
    """
    database, _, shared_memory = list_files(file)
    with contextlib.ExitStack() as stack:
        is_free = _lock(stack, database, start=LOCK_START, length=LOCK_LENGTH)
        yield is_free and _lock(stack, shared_memory, start=SHM_LOCK_START, length=1)


def _lock(stack: contextlib.ExitStack, path: Path, *, start: int, length: int) -> bool:
    """Lock bytes of a file, if there is one, until `stack` is closed. Returns False if another process holds them."""
    try:
        locked = stack.enter_context(path.open("r+b"))
        fcntl.lockf(locked, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
    except FileNotFoundError:
        return True
    except OSError as error:
        # A path that cannot be opened is no lock of somebody else: it is a fault to report.
        if error.errno not in {errno.EACCES, errno.EAGAIN} or error.filename is not None:
            raise
        return False
    return True


def close_database(file: Path, max_wait_seconds: float = 1.0) -> None:
    """Write the log into the file and remove it, so that the file alone is the database. Complain if that fails.

    SQLite does so when the last connection is closed, but processes that end at once or are killed close none. Waits
    until no other process has the file open, for `max_wait_seconds` at most. Call this at the end of a process that has
    no connection itself.
    """
    if not file.exists() or not list_files(file)[1].exists():
        return
    try:
        end = time.monotonic() + max_wait_seconds
        while not _is_free(file) and time.monotonic() < end:
            time.sleep(PROBE_SECONDS)
        with contextlib.closing(sqlite.connect(to_uri(file), uri=True, timeout=1)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except (OSError, sqlite.Error) as error:
        print(f"The log of {file} was not written back: {error}.", file=sys.stderr)


def _is_free(file: Path) -> bool:
    with lock_out_others(file) as is_free:
        return is_free


def is_too_short(connection: sqlite.Connection | sqlite.Cursor, file: Path) -> bool:
    """Return whether the end of the file is missing. Raises sqlite.Error.

    The file may be shorter than the database as long as the log holds the rest, so the log is written back first. What
    another process does meanwhile can make it look short for a moment, but hardly twice.
    """
    return all(_looks_short(connection, file) for _ in range(2))


def _looks_short(connection: sqlite.Connection | sqlite.Cursor, file: Path) -> bool:
    page_count = connection.execute("PRAGMA page_count").fetchone()[0]
    page_size = connection.execute("PRAGMA page_size").fetchone()[0]
    is_busy, log_pages, written_pages = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    is_complete = not is_busy and log_pages == written_pages
    return is_complete and file.stat().st_size < page_count * page_size
