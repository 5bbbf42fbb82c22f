"""SQLite as it has to be opened, and writes that wait instead of failing."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest
from flask import Flask
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import QueuePool, create_engine, event, select, text

from chatsite.database import db, write_transaction
from chatsite.database_connections import configure_sqlite, engine_options, sqlite_wal_is_safe
from chatsite.database_file import create_file
from chatsite.errors import DatabaseBusyError, StorageFullError
from chatsite.models import User
from chatsite.services.accounts import users
from tests.conftest import close_app, make_app


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 7, 0), False),
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), False),
        ((3, 53, 4), True),
    ],
)
def test_sqlite_versions_with_wal_reset_bug_are_known(version: tuple[int, int, int], safe: bool) -> None:
    assert sqlite_wal_is_safe(version) is safe


def test_bundled_sqlite_is_safe_for_wal() -> None:
    assert sqlite_wal_is_safe(sqlite.sqlite_version_info)


@pytest.mark.parametrize(("version", "mode"), [((3, 53, 4), "wal"), ((3, 40, 1), "delete")])
def test_journal_mode_follows_sqlite_version(tmp_path: Path, version: tuple[int, int, int], mode: str) -> None:
    create_file(tmp_path / "x.db")
    url = f"sqlite:///{tmp_path / 'x.db'}"
    engine = create_engine(url, **engine_options(url, 1000))
    configure_sqlite(engine, version=version)
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == mode
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
        assert connection.scalar(text("PRAGMA synchronous")) == 2
        assert connection.scalar(text("PRAGMA mmap_size")) == 0
    engine.dispose()


def test_page_caches_of_a_pool_are_bounded_together(app: Flask) -> None:
    with app.app_context():
        cache_kib = -db.session.execute(text("PRAGMA cache_size")).scalar_one()
        db.session.remove()
        assert isinstance(db.engine.pool, QueuePool)
        assert 0 < cache_kib * db.engine.pool.size() <= 32 * 1024


def test_read_then_write_waits_for_other_writer(app: Flask) -> None:
    """The failure this prevents: a deferred transaction that read first cannot write once somebody else has."""
    with app.app_context():
        users.get_or_create_by_token("first")
    inside, go_on = threading.Event(), threading.Event()

    def slow_writer() -> None:
        with app.app_context(), write_transaction() as session:
            session.add(User(token_hash="slow"))
            inside.set()
            go_on.wait(60)

    thread = threading.Thread(target=slow_writer)
    thread.start()
    assert inside.wait(60)
    threading.Timer(0.2, go_on.set).start()
    with app.app_context():
        assert users.find_by_token("first")
        users.get_or_create_by_token("second")
        hashes = set(db.session.scalars(select(User.token_hash)))
    thread.join()
    assert hashes == {"slow", users.token_hash("first"), users.token_hash("second")}


def test_deferred_write_after_read_fails(app: Flask) -> None:
    """The guard of the test above: without IMMEDIATE the same thing fails, whatever the timeout."""
    with app.app_context():
        first, second = db.engine.connect(), db.engine.connect()
        first.execute(text("SELECT count(*) FROM user")).all()
        second.execute(text("INSERT INTO user (token_hash, created_at) VALUES ('a', '2026-01-01')"))
        second.commit()
        with pytest.raises(DatabaseBusyError):
            first.execute(text("INSERT INTO user (token_hash, created_at) VALUES ('b', '2026-01-01')"))
        first.close()
        second.close()


def test_write_timeout_raises_database_busy(tmp_path: Path) -> None:
    app = make_app(tmp_path, SQLITE_BUSY_TIMEOUT_MS=50)
    other = sqlite.connect(str(tmp_path / "chatsite.db"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with app.app_context(), pytest.raises(DatabaseBusyError):
        users.get_or_create_by_token("somebody")
    other.execute("ROLLBACK")
    with app.app_context():
        assert users.get_or_create_by_token("somebody")
    other.close()
    close_app(app)


def test_full_disk_raises_storage_full_and_rolls_back(app: Flask) -> None:
    with app.app_context():
        db.engine.dispose()

        @event.listens_for(db.engine, "connect")
        def no_more_room(connection, _record) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={pages}")

        with pytest.raises(StorageFullError), write_transaction() as session:
            session.add_all(User(token_hash=f"{number:064}") for number in range(2000))
        assert db.session.scalars(select(User)).all() == []


def test_nested_write_joins_outer_transaction(app: Flask) -> None:
    with app.app_context():
        with contextlib.suppress(ZeroDivisionError), write_transaction():
            users.get_or_create_by_token("inner")
            raise ZeroDivisionError
        assert users.find_by_token("inner") is None


def test_write_refreshes_stale_objects(app: Flask) -> None:
    with app.app_context():
        user = users.get_or_create_by_token("somebody")
        with db.engine.begin() as other:
            other.execute(text("UPDATE user SET token_hash = 'changed'"))
        with write_transaction():
            assert user.token_hash == "changed"
