"""Which migration a database has, read without SQLAlchemy: most starts find that there is nothing to do."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite

from chatsite.database_file import is_too_short, to_uri
from chatsite.errors import DatabaseDamagedError, DatabaseFileDamagedError, NewerDatabaseError
from chatsite.settings import ROOT
from chatsite.storage_errors import find_storage_error

NO_TABLE = "no such table"
BUSY_SECONDS = 10


def list_revisions() -> list[str]:
    """Return the names of all migrations, the first one first: the numbers with which their files begin."""
    return sorted(path.name.partition("_")[0] for path in (ROOT / "migrations" / "versions").glob("[0-9]*.py"))


def latest_revision() -> str:
    """Return the name of the latest migration."""
    return list_revisions()[-1]


def require_known(revision: str | None) -> None:
    """Raise NewerDatabaseError for the revision of a database that a newer version has migrated."""
    if revision is not None and revision not in list_revisions():
        raise NewerDatabaseError(revision=revision)


def read_revision(file: Path) -> str | None:
    """Return the revision of a SQLite database; None for one that is missing, or has no tables of ours.

    Raises NewerDatabaseError, DatabaseFileDamagedError, and StorageError if the file cannot be opened.
    """
    if not file.exists() or file.stat().st_size == 0:
        return None
    try:
        with contextlib.closing(sqlite.connect(to_uri(file), uri=True, timeout=BUSY_SECONDS)) as connection:
            row = _select_revision(connection)
            if os.access(file.parent, os.W_OK) and is_too_short(connection, file):
                raise sqlite.DatabaseError("the end is missing")
    except sqlite.Error as error:
        known = find_storage_error(error)
        if known is None or isinstance(known, DatabaseDamagedError):
            raise DatabaseFileDamagedError(file=file, cause=error) from error
        raise known from error
    require_known(row)
    return row


def _select_revision(connection: sqlite.Connection) -> str | None:
    try:
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite.OperationalError as error:
        if NO_TABLE not in str(error):
            raise
        return None
    return str(rows[0][0]) if rows else None
