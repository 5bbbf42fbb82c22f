"""Every error of a database's driver is one of ours, for reads and writes alike."""

from __future__ import annotations

import psycopg
import pytest
from flask import Flask
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from chatsite.database import db, truncate_wal
from chatsite.errors import (
    DatabaseBusyError,
    DatabaseDamagedError,
    DatabaseUnavailableError,
    StorageError,
    StorageFullError,
    StorageReadOnlyError,
)
from chatsite.models import User
from chatsite.storage_errors import find_storage_error


def sqlite_error(name: str) -> sqlite.Error:
    """An error as the driver raises it."""
    error = sqlite.OperationalError("")
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SQLITE_BUSY_SNAPSHOT", DatabaseBusyError),
        ("SQLITE_FULL", StorageFullError),
        ("SQLITE_READONLY_DBMOVED", StorageReadOnlyError),
        ("SQLITE_CORRUPT_VTAB", DatabaseDamagedError),
        ("SQLITE_NOTADB", DatabaseDamagedError),
        ("SQLITE_CANTOPEN", DatabaseUnavailableError),
        ("SQLITE_IOERR_READ", DatabaseUnavailableError),
    ],
)
def test_sqlite_error_becomes_storage_error(name: str, kind: type[StorageError]) -> None:
    assert find_storage_error(sqlite_error(name)) == kind()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.errors.LockNotAvailable(), DatabaseBusyError),
        (psycopg.errors.QueryCanceled(), DatabaseBusyError),
        (psycopg.errors.DiskFull(), StorageFullError),
        (psycopg.errors.ReadOnlySqlTransaction(), StorageReadOnlyError),
        (psycopg.errors.AdminShutdown(), DatabaseUnavailableError),
        (psycopg.errors.IdleInTransactionSessionTimeout(), DatabaseUnavailableError),
        (psycopg.errors.ConnectionFailure(), DatabaseUnavailableError),
        (psycopg.errors.DataCorrupted(), DatabaseDamagedError),
        # What libpq says when no connection can be made, or when one breaks.
        (psycopg.OperationalError("connection refused"), DatabaseUnavailableError),
    ],
)
def test_postgres_error_becomes_storage_error(error: psycopg.Error, kind: type[StorageError]) -> None:
    assert find_storage_error(error) == kind()


@pytest.mark.parametrize("error", [sqlite_error("SQLITE_ERROR"), psycopg.errors.UndefinedTable(), ValueError()])
def test_mistakes_are_no_storage_errors(error: Exception) -> None:
    assert find_storage_error(error) is None


def test_read_of_damaged_page_raises_database_damaged(app: Flask) -> None:
    with app.app_context():
        file = str(db.engine.url.database)
        root, size = db.session.execute(
            text("SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master WHERE name = 'user'")
        ).one()
        db.session.remove()
        assert truncate_wal()
        db.engine.dispose()
        with open(file, "r+b") as database:
            database.seek((root - 1) * size)
            database.write(b"\xff" * size)
        with pytest.raises(DatabaseDamagedError):
            db.session.query(User).all()


def test_connection_that_cannot_be_made_raises_database_unavailable(any_app: Flask) -> None:
    with any_app.app_context():
        db.engine.dispose()

        @event.listens_for(db.engine, "do_connect")
        def refuse(*_: object) -> None:
            raise (
                db.engine.dialect.loaded_dbapi.OperationalError("refused")
                if (db.engine.dialect.name != "sqlite")
                else sqlite_error("SQLITE_CANTOPEN")
            )

        with pytest.raises(DatabaseUnavailableError):
            db.session.execute(text("SELECT 1"))


def test_missing_table_stays_an_error_of_the_program(any_app: Flask) -> None:
    with any_app.app_context(), pytest.raises(DBAPIError):
        db.session.execute(text("SELECT * FROM nothing"))
