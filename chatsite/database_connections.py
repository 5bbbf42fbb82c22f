"""Connections to the database: what each of them is told first, and what its errors become.

SQLite before 3.51.3 (except the backports 3.50.7 and 3.44.6) can corrupt a WAL file when two connections write and
checkpoint at the same instant (sqlite.org/wal.html#walresetbug). We bring our own SQLite with pysqlite3, check its
version all the same, and use a rollback journal if it is affected.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import structlog
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import Engine, event
from sqlalchemy.engine import URL, Connection, ExceptionContext, make_url
from sqlalchemy.exc import DisconnectionError

from chatsite.database_file import OpenedFile, is_unchangeable, to_uri
from chatsite.errors import StorageError
from chatsite.storage_errors import find_storage_error

log = structlog.get_logger()

MAX_WAL_BYTES = 64 * 1024 * 1024
# Each connection has a cache of its own, and a worker keeps POOL_SIZE of them: together 32 MB, however long it runs.
CACHE_KIB = 4 * 1024
POOL_SIZE, MAX_OVERFLOW, POOL_SECONDS = 8, 24, 10
# A server that vanishes without a word is noticed within this time, in seconds, and not after two hours. The names are
# those of libpq (postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS); the last is in milliseconds.
POSTGRES_CONNECTION = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# A client that vanishes, or is frozen, within a transaction holds its locks no longer than the last of these; whoever
# waits for a lock gives up before, so that it can say so. No statement of a page or of a runner takes a minute.
POSTGRES_TIMEOUTS = {"lock_timeout": "5s", "statement_timeout": "60s", "idle_in_transaction_session_timeout": "15s"}


def sqlite_wal_is_safe(version: tuple[int, int, int]) -> bool:
    """Return whether this SQLite version is free of the WAL-reset bug."""
    if version >= (3, 51, 3):
        return version != (3, 52, 0)
    return version[:2] in {(3, 50), (3, 44)} and version >= {50: (3, 50, 7), 44: (3, 44, 6)}[version[1]]


def engine_options(url: str | URL, busy_ms: int) -> dict[str, Any]:
    """Return the arguments of `create_engine` for this URL; `busy_ms` is SQLite's busy timeout in milliseconds."""
    # The connection that was used last has the warmest cache, and the others can stay small.
    pool = {
        "pool_size": POOL_SIZE,
        "max_overflow": MAX_OVERFLOW,
        "pool_timeout": POOL_SECONDS,
        "pool_use_lifo": True,
    }
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return {"module": sqlite, "connect_args": {"timeout": busy_ms / 1000}, **pool}
    if parsed.get_backend_name() == "postgresql":
        connect_args = {name: value for name, value in POSTGRES_CONNECTION.items() if name not in parsed.query}
        return {"pool_pre_ping": True, "connect_args": connect_args, **pool}
    return {"pool_pre_ping": True, **pool}


def configure_engine(
    engine: Engine, synchronous: str = "FULL", on_error: Callable[[StorageError], None] | None = None
) -> None:
    """Configure each new connection of an engine and translate its errors; `on_error` gets those that are ours."""
    translate_errors(engine, on_error)
    if engine.dialect.name == "sqlite":
        configure_sqlite(engine, synchronous=synchronous)
    elif engine.dialect.name == "postgresql":
        configure_postgresql(engine)


def translate_errors(engine: Engine, on_error: Callable[[StorageError], None] | None = None) -> None:
    """Raise StorageError where the database cannot be read or written, whatever its driver calls that."""

    @event.listens_for(engine, "handle_error", retval=True)
    def translate_error(context: ExceptionContext) -> Exception | None:
        # After a failed ping the pool makes a new connection, if it gets the driver's own error.
        if context.is_pre_ping:
            return None
        error = find_storage_error(context.original_exception, context.is_disconnect)
        if error is not None and on_error is not None:
            on_error(error)
        return error


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """Raise StorageError as `translate_errors` does, in a block that uses a connection of the driver."""
    try:
        yield
    except sqlite.Error as error:
        translated = find_storage_error(error)
        if translated is None:
            raise
        raise translated from error


def configure_sqlite(engine: Engine, version: tuple[int, int, int] | None = None, synchronous: str = "FULL") -> None:
    """Open the database file and never create one, set pragmas, and begin transactions instead of the driver.

    `version` is the version of SQLite, by default of the linked one. `synchronous` is FULL if a commit must survive a
    power cut, and may be NORMAL for data that can be written again.
    """
    wal_is_safe = sqlite_wal_is_safe(version or sqlite.sqlite_version_info)
    if not wal_is_safe:
        log.warning("sqlite_wal_unsafe", version=sqlite.sqlite_version, journal="delete")
    pragmas = (
        f"journal_mode={'WAL' if wal_is_safe else 'DELETE'}",
        f"synchronous={synchronous if wal_is_safe else 'FULL'}",
        "foreign_keys=ON",
        f"journal_size_limit={MAX_WAL_BYTES}",
        f"cache_size=-{CACHE_KIB}",
        "temp_store=MEMORY",
        # Deleted contents are overwritten in the file, so that they cannot be recovered; the cost is negligible.
        "secure_delete=ON",
    )
    file = find_file(engine.url)
    opened_file = OpenedFile(file.resolve()) if file else None

    @event.listens_for(engine, "do_connect")
    def open_existing(_dialect: object, record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
        if file:
            record.info["is_unchangeable"] = is_unchangeable(file)
            arguments[0] = to_uri(file)
            options["uri"] = True

    @event.listens_for(engine, "checkout")
    def leave_unchangeable(_connection: object, record: Any, _proxy: object) -> None:
        # The disk was read-only when the file was opened, and can be written again.
        if file and record.info.get("is_unchangeable") and not is_unchangeable(file):
            raise DisconnectionError

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, record: Any) -> None:
        # The driver's own transactions commit before DDL and begin late, so `begin_transaction` sends BEGIN instead.
        connection.isolation_level = None
        try:
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")
            if opened_file:
                record.info["opened"] = opened_file.identify()
        except BaseException:
            connection.close()
            raise

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        if immediate and opened_file:
            opened_file.require_unchanged(connection.info["opened"])
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def find_file(url: URL) -> Path | None:
    """Return the file of a SQLite database; None for one in memory or an address of SQLite's own kind."""
    name = url.database or ""
    return None if name in {"", ":memory:"} or name.startswith("file:") else Path(name)


def configure_postgresql(engine: Engine) -> None:
    """Give each new connection the POSTGRES_TIMEOUTS."""
    statement = "; ".join(f"SET {name} = '{value}'" for name, value in POSTGRES_TIMEOUTS.items())

    @event.listens_for(engine, "connect")
    def set_timeouts(connection: Any, _record: object) -> None:
        # Not as options of the connection, which poolers such as PgBouncer refuse.
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.autocommit = False


def allow_slow_statements(connection: Connection) -> None:
    """Lift the POSTGRES_TIMEOUTS until the transaction ends, for work that may take long; nothing elsewhere."""
    if connection.dialect.name == "postgresql":
        for name in POSTGRES_TIMEOUTS:
            connection.exec_driver_sql(f"SET LOCAL {name} = 0")
