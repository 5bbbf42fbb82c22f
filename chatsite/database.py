"""One way to the database: SQLite as it has to be opened, and writes that cannot deadlock.

SQLite before 3.51.3 (but for the backports 3.50.7 and 3.44.6) can corrupt a WAL file when two connections write and
checkpoint at the same instant (sqlite.org/wal.html#walresetbug). We bring our own SQLite with pysqlite3, look at its
version all the same, and use a rollback journal where it is not safe.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import DateTime, Engine, MetaData, event
from sqlalchemy.engine import Connection, Dialect, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from chatsite.errors import DatabaseBusyError, StorageFullError

log = structlog.get_logger()

LARGEST_WAL = 64 * 1024 * 1024
CACHE_KIB = 16 * 1024
# Nobody can write while the log is waiting to be emptied.
SCRUB_WAIT_MS = 250
# Written anew in less than half a second, and in memory meanwhile.
LARGEST_REWRITE = 64 * 1024 * 1024


class Base(DeclarativeBase):
    """The parent of all models. Constraints get names, so that migrations can name them on every database."""

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


class Moment(TypeDecorator[datetime]):
    """A moment in UTC: aware in Python, without a zone in the database (SQLite has none)."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


def wal_is_safe(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite version is free of the WAL-reset bug."""
    if version >= (3, 51, 3):
        return version != (3, 52, 0)
    return version[:2] in {(3, 50), (3, 44)} and version >= {50: (3, 50, 7), 44: (3, 44, 6)}[version[1]]


def engine_options(url: str, busy_ms: int) -> dict[str, Any]:
    """What `create_engine` needs for this address."""
    if make_url(url).get_backend_name() != "sqlite":
        return {"pool_pre_ping": True, "pool_size": 8, "max_overflow": 24}
    return {"module": sqlite, "connect_args": {"timeout": busy_ms / 1000}, "pool_size": 8, "max_overflow": 24}


def init_app(app: Flask) -> None:
    """Bind the database to the app and see that every SQLite connection is opened as it has to be."""
    url = app.config["SQLALCHEMY_DATABASE_URI"]
    app.config.setdefault("SQLALCHEMY_ENGINE_OPTIONS", engine_options(url, app.config["BUSY_MS"]))
    db.init_app(app)
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            prepare_sqlite(db.engine, synchronous=app.config.get("SQLITE_SYNCHRONOUS", "FULL"))


def prepare_sqlite(engine: Engine, version: tuple[int, int, int] | None = None, synchronous: str = "FULL") -> None:
    """Set pragmas on each new connection and take over BEGIN from the driver.

    `version` is that of the linked SQLite unless a test says otherwise. `synchronous` is FULL where a commit is a
    promise to a visitor that outlives a power cut, and may be NORMAL for what can be written again.
    """
    safe = wal_is_safe(version or sqlite.sqlite_version_info)
    if not safe:
        log.warning("sqlite_wal_unsafe", version=sqlite.sqlite_version, journal="delete")

    @event.listens_for(engine, "connect")
    def open_connection(connection: Any, _record: object) -> None:
        # The driver's own transactions commit before DDL and begin late, so we say BEGIN ourselves.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA journal_mode={'WAL' if safe else 'DELETE'}")
        cursor.execute(f"PRAGMA synchronous={synchronous if safe else 'FULL'}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA journal_size_limit={LARGEST_WAL}")
        cursor.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        cursor.execute("PRAGMA temp_store=MEMORY")
        # What is deleted is gone from the file: its place is overwritten, which costs next to nothing.
        cursor.execute("PRAGMA secure_delete=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def scrub() -> bool:
    """See that no file keeps what was deleted: the log of a SQLite database holds it until the log is emptied.

    Returns whether that was possible; it is not while somebody reads or writes, and waits only a moment for that. The
    pages themselves are overwritten as they are freed (`secure_delete`). Other databases look after themselves.
    """
    if db.engine.dialect.name != "sqlite" or _log_is_empty():
        return True
    connection = db.engine.raw_connection()
    try:
        cursor = connection.cursor()
        patience = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
        cursor.execute(f"PRAGMA busy_timeout={SCRUB_WAIT_MS}")
        busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        cursor.execute(f"PRAGMA busy_timeout={patience}")
        cursor.close()
    finally:
        connection.close()
    return not busy


def rewrite(most: int = LARGEST_REWRITE) -> bool:
    """Have SQLite write its file anew, and then `scrub`: what it left in unused places when it moved rows is gone too.

    A file of more than `most` bytes is only scrubbed, since nobody can write meanwhile. Returns whether it was done.
    """
    if db.engine.dialect.name != "sqlite":
        return True
    if Path(str(db.engine.url.database)).stat().st_size > most:
        return scrub()
    connection = db.engine.raw_connection()
    try:
        connection.cursor().execute("VACUUM")
    except sqlite.OperationalError as error:
        log.info("rewrite_put_off", reason=str(error))
        return False
    finally:
        connection.close()
    return scrub()


def _log_is_empty() -> bool:
    log_file = Path(f"{db.engine.url.database}-wal")
    return not log_file.exists() or log_file.stat().st_size == 0


class Watch:
    """Tells whether anything was committed since it was last asked; belongs to one thread, which calls all of it.

    On SQLite that is one PRAGMA, whose number is relative to a connection; so it keeps one. Elsewhere it always says
    that something may have been.
    """

    def __init__(self) -> None:
        self._connection: Any = None
        self._version: int | None = None

    def changed(self) -> bool:
        """Whether to look again. Needs an app context."""
        if db.engine.dialect.name != "sqlite":
            return True
        if self._connection is None:
            self._connection = db.engine.raw_connection()
        cursor = self._connection.cursor()
        version = cursor.execute("PRAGMA data_version").fetchone()[0]
        cursor.close()
        changed: bool = version != self._version
        self._version = version
        return changed

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextlib.contextmanager
def write() -> Iterator[Session]:
    """One short write transaction: commits when the block ends, rolls back when it raises.

    On SQLite it takes the write lock before it reads (BEGIN IMMEDIATE): a transaction that reads first and writes
    later fails at once when somebody else wrote in between, whatever the busy timeout. What the session had read
    before is forgotten, so that the block decides on what is true now. A block inside another one joins it.

    Raises DatabaseBusyError or StorageFullError when the database cannot take the write; nothing is stored then.
    """
    session = db.session()
    if session.info.get("writing"):
        yield session
        return
    session.rollback()
    session.info["writing"] = True
    try:
        session.connection(execution_options={"immediate": True})
        yield session
        session.commit()
    except BaseException as error:
        session.rollback()
        if isinstance(error, DBAPIError):
            raise _readable(error) from error
        raise
    finally:
        session.info.pop("writing", None)


def _readable(error: DBAPIError) -> Exception:
    """The error with a sentence for the reader where we know one, or else the error itself."""
    name = getattr(error.orig, "sqlite_errorname", "") or ""
    text = str(error.orig)
    state = getattr(error.orig, "sqlstate", "") or ""
    if (
        name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
        or "database is locked" in text
        or state in {"55P03", "40P01", "40001"}
    ):
        return DatabaseBusyError()
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")) or "disk is full" in text or state == "53100":
        return StorageFullError()
    return error
