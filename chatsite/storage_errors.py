"""Which error of ours an error of the database's driver is: the one translation for the web, runners and commands.

SQLite names its errors (sqlite.org/rescode.html); PostgreSQL numbers them (Appendix A of its manual). A connection that
is lost or was never made has no number.
"""

from __future__ import annotations

from pysqlite3 import dbapi2 as sqlite

from chatsite.errors import (
    DatabaseBusyError,
    DatabaseDamagedError,
    DatabaseUnavailableError,
    StorageError,
    StorageFullError,
    StorageReadOnlyError,
)

# The first prefix that fits decides.
ERRORS_BY_SQLITE_NAME: tuple[tuple[str, type[StorageError]], ...] = (
    ("SQLITE_BUSY", DatabaseBusyError),
    ("SQLITE_LOCKED", DatabaseBusyError),
    ("SQLITE_PROTOCOL", DatabaseBusyError),
    ("SQLITE_FULL", StorageFullError),
    # Memory that processes share is a file too, and grows where the disk is full.
    ("SQLITE_IOERR_SHMSIZE", StorageFullError),
    ("SQLITE_READONLY", StorageReadOnlyError),
    ("SQLITE_CORRUPT", DatabaseDamagedError),
    ("SQLITE_NOTADB", DatabaseDamagedError),
    ("SQLITE_CANTOPEN", DatabaseUnavailableError),
    ("SQLITE_PERM", DatabaseUnavailableError),
    ("SQLITE_IOERR", DatabaseUnavailableError),
)
ERRORS_BY_POSTGRES_STATE: tuple[tuple[str, type[StorageError]], ...] = (
    ("55P03", DatabaseBusyError),  # lock_timeout
    ("57014", DatabaseBusyError),  # statement_timeout
    ("40P01", DatabaseBusyError),
    ("40001", DatabaseBusyError),
    ("53100", StorageFullError),
    ("53", DatabaseUnavailableError),  # too many connections, out of memory
    ("25006", StorageReadOnlyError),
    ("25P0", DatabaseUnavailableError),  # a timeout of the transaction ended the connection
    ("XX001", DatabaseDamagedError),
    ("XX002", DatabaseDamagedError),
    ("57P", DatabaseUnavailableError),  # the server shuts down or starts
    ("58", DatabaseUnavailableError),
    ("08", DatabaseUnavailableError),
)


def find_storage_error(error: BaseException, is_disconnect: bool = False) -> StorageError | None:
    """Return our error for one of a driver, or None for one that is a mistake of ours, such as a missing table.

    `is_disconnect` says that the error ended the connection.
    """
    if isinstance(error, sqlite.Error):
        return _find(ERRORS_BY_SQLITE_NAME, getattr(error, "sqlite_errorname", None) or "")
    state = getattr(error, "sqlstate", None) or ""
    known = _find(ERRORS_BY_POSTGRES_STATE, state)
    if known is None and (is_disconnect or (not state and type(error).__name__ == "OperationalError")):
        return DatabaseUnavailableError()
    return known


def _find(table: tuple[tuple[str, type[StorageError]], ...], name: str) -> StorageError | None:
    return next((kind() for prefix, kind in table if name.startswith(prefix)), None)
