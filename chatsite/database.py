"""Database access: the base class of models, types of columns, and write transactions without deadlocks.

`chatsite.database_connections` opens and configures the connections.
"""

from __future__ import annotations

import contextlib
import json
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, NewType

import structlog
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, Enum, MetaData, Text
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from chatsite.database_connections import configure_engine, engine_options, find_file, translated_errors
from chatsite.database_file import is_too_short, is_unchangeable
from chatsite.errors import ChatsiteError, StorageError, as_error, from_reason

log = structlog.get_logger()

# Short, because no connection can write during the wait.
TRUNCATE_WAIT_MS = 250
# Rewritten in less than half a second, and small enough for memory.
MAX_VACUUM_BYTES = 64 * 1024 * 1024


class Base(DeclarativeBase):
    """The base class of all models. It names constraints, so that migrations can refer to them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


db = SQLAlchemy(model_class=Base, disable_autonaming=True)

# The session inside a write transaction. Only `write_transaction` makes one, so that functions with this parameter
# cannot be called outside of a transaction.
WriteSession = NewType("WriteSession", Session)


def enum_column(values: type[StrEnum]) -> Enum:
    """Return the type of a column that stores the values of `values` as text."""
    return Enum(values, native_enum=False, length=16, values_callable=lambda members: [each.value for each in members])


class UTCDateTime(TypeDecorator[datetime]):
    """A time in UTC: aware in Python, without a zone in the database (SQLite has none)."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time in UTC without a zone, as it is stored."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the stored time with the zone UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class StoredError(TypeDecorator[ChatsiteError]):
    """An error: code and parameters as JSON in the database, a ChatsiteError in Python.

    Plain text in the column becomes an OtherError with that text.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: ChatsiteError | str | None, dialect: Dialect) -> str | None:
        """Return the error as JSON; other values become an OtherError first."""
        return None if value is None else json.dumps(as_error(value).to_reason(), ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> ChatsiteError | None:
        """Return the error of the stored JSON; other text becomes an OtherError."""
        if value is None:
            return None
        try:
            return from_reason(json.loads(value))
        except ValueError:
            return as_error(value)


def utcnow() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def init_app(app: Flask) -> None:
    """Bind the database to the app: the one of DATABASE_URL, or the file in the instance folder."""
    # The path of a file is no text to be parsed: it may have a question mark or a percent sign in it.
    url = make_url(app.config["DATABASE_URL"] or URL.create("sqlite", database=str(app.config["DATABASE_FILE"])))
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config.setdefault("SQLALCHEMY_ENGINE_OPTIONS", engine_options(url, app.config["SQLITE_BUSY_TIMEOUT_MS"]))
    db.init_app(app)
    # Flask-SQLAlchemy keeps the engine for as long as there is the app: an engine that held the app would keep both.
    weak_app = weakref.ref(app)
    with app.app_context():
        configure_engine(
            db.engine,
            synchronous=app.config.get("SQLITE_SYNCHRONOUS", "FULL"),
            on_error=lambda error: _note_error(weak_app(), error),
        )


def _note_error(app: Flask | None, error: StorageError) -> None:
    """Tell the probe of the app (`chatsite.database_probe`), which a runner has none of."""
    if app is not None and "database_probe" in app.extensions:
        app.extensions["database_probe"].note_error(error)


def close_connections(app: Flask) -> None:
    """Close the pool at the end of a process; closing SQLite's last connection writes the log into the file."""
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


def truncate_wal() -> bool:
    """Empty SQLite's write-ahead log, which still contains deleted rows. Returns whether that was possible.

    It is impossible while another connection reads or writes; the wait for that is at most TRUNCATE_WAIT_MS
    milliseconds. The pages of the database file itself are overwritten when they are freed (`secure_delete`). Other
    databases need none of this; the result is True at once.
    """
    if db.engine.dialect.name != "sqlite" or _size_of("-wal") == 0:
        return True
    with _raw_cursor() as cursor:
        busy_timeout_ms = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
        cursor.execute(f"PRAGMA busy_timeout={TRUNCATE_WAIT_MS}")
        is_busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        cursor.execute(f"PRAGMA busy_timeout={busy_timeout_ms}")
    return not is_busy


def vacuum_database(max_bytes: int = MAX_VACUUM_BYTES) -> bool:
    """Rewrite SQLite's file and truncate the WAL, so that moved rows leave no copy in unused space.

    A file of more than `max_bytes` bytes is not rewritten, since nobody can write meanwhile; only its WAL is truncated.
    Returns whether it was possible. Other databases need none of this; the result is True at once.
    """
    if db.engine.dialect.name != "sqlite":
        return True
    if _size_of("") > max_bytes:
        return truncate_wal()
    try:
        with _raw_cursor() as cursor:
            cursor.execute("VACUUM")
    except StorageError as error:
        log.info("rewrite_put_off", reason=error.code)
        return False
    return truncate_wal()


def is_file_cut_off() -> bool:
    """Return whether the end of SQLite's file is missing. False for other databases. Raises StorageError."""
    file = find_file(db.engine.url) if db.engine.dialect.name == "sqlite" else None
    if file is None or is_unchangeable(file):
        return False
    with _raw_cursor() as cursor:
        return is_too_short(cursor, file)


def _size_of(suffix: str) -> int:
    """Return the size of the database file or of a companion; 0 if there is none."""
    try:
        return Path(f"{db.engine.url.database}{suffix}").stat().st_size
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def _raw_cursor() -> Iterator[Any]:
    """Give a cursor of the driver, for what must run outside of a transaction. Raises StorageError."""
    with translated_errors():
        connection = db.engine.raw_connection()
        try:
            yield connection.cursor()
        finally:
            connection.close()


class ChangeDetector:
    """Detector of commits since the last check, for use by a single thread.

    On SQLite the check is one PRAGMA, whose number is relative to a connection, so the detector keeps one. On other
    databases it always reports a change.
    """

    def __init__(self) -> None:
        self._connection: Any = None
        self._data_version: int | None = None

    @property
    def can_tell(self) -> bool:
        """Whether a look costs next to nothing and tells something. Needs an app context."""
        return db.engine.dialect.name == "sqlite"

    def has_changed(self) -> bool:
        """Return whether anything may have been committed since the last call.

        Needs an app context. Raises StorageError.
        """
        if not self.can_tell:
            return True
        with translated_errors():
            if self._connection is None:
                self._connection = db.engine.raw_connection()
            cursor = self._connection.cursor()
            version = cursor.execute("PRAGMA data_version").fetchone()[0]
            cursor.close()
        is_changed: bool = version != self._data_version
        self._data_version = version
        return is_changed

    def close(self) -> None:
        """Return the connection to the pool."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextlib.contextmanager
def write_transaction() -> Iterator[WriteSession]:
    """Run a block in one short write transaction: commit when it ends, roll back when it raises.

    On SQLite it takes the write lock before it reads (BEGIN IMMEDIATE): a transaction that reads first and writes later
    fails at once if another connection wrote in between, whatever the busy timeout. Rows that the session had read
    before are expired, so that the block decides on current values. A block inside another one joins its transaction.

    Raises StorageError if the database cannot take the write; nothing is stored then.
    """
    session = db.session()
    if session.info.get("writing"):
        yield WriteSession(session)
        return
    session.rollback()
    session.info["writing"] = True
    try:
        session.connection(execution_options={"immediate": True})
        yield WriteSession(session)
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.info.pop("writing", None)
