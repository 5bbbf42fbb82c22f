"""SQLite as it has to be opened, and writes that wait instead of failing."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest
from flask import Flask
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import create_engine, event, select, text

from chatsite.database import db, engine_options, prepare_sqlite, wal_is_safe, write
from chatsite.errors import DatabaseBusyError, StorageFullError
from chatsite.models import User
from chatsite.services import accounts
from tests.conftest import close, make_app


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
def test_the_versions_with_the_wal_reset_bug_are_known(version: tuple[int, int, int], safe: bool) -> None:
    assert wal_is_safe(version) is safe


def test_the_sqlite_we_bring_is_safe() -> None:
    assert wal_is_safe(sqlite.sqlite_version_info)


@pytest.mark.parametrize(("version", "mode"), [((3, 53, 4), "wal"), ((3, 40, 1), "delete")])
def test_the_journal_follows_the_version(tmp_path: Path, version: tuple[int, int, int], mode: str) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    engine = create_engine(url, **engine_options(url, 1000))
    prepare_sqlite(engine, version=version)
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == mode
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
        assert connection.scalar(text("PRAGMA synchronous")) == 2
        assert connection.scalar(text("PRAGMA mmap_size")) == 0
    engine.dispose()


def test_a_read_then_write_of_our_own_waits_for_another_writer(app: Flask) -> None:
    """The failure this prevents: a deferred transaction that read first cannot write once somebody else has."""
    with app.app_context():
        accounts.find_or_create("first")
    inside, go_on = threading.Event(), threading.Event()

    def slow_writer() -> None:
        with app.app_context(), write() as session:
            session.add(User(token_hash="slow"))
            inside.set()
            go_on.wait(5)

    thread = threading.Thread(target=slow_writer)
    thread.start()
    assert inside.wait(5)
    threading.Timer(0.2, go_on.set).start()
    with app.app_context():
        assert accounts.find("first")
        accounts.find_or_create("second")
        hashes = set(db.session.scalars(select(User.token_hash)))
    thread.join()
    assert hashes == {"slow", accounts.token_hash("first"), accounts.token_hash("second")}


def test_a_deferred_write_after_a_read_would_fail(app: Flask) -> None:
    """The guard of the test above: without IMMEDIATE the same thing fails, whatever the timeout."""
    with app.app_context():
        first, second = db.engine.connect(), db.engine.connect()
        first.execute(text("SELECT count(*) FROM user")).all()
        second.execute(text("INSERT INTO user (token_hash, created_at) VALUES ('a', '2026-01-01')"))
        second.commit()
        with pytest.raises(Exception, match="database is locked"):
            first.execute(text("INSERT INTO user (token_hash, created_at) VALUES ('b', '2026-01-01')"))
        first.close()
        second.close()


def test_a_write_that_waits_too_long_says_that_the_database_is_busy(tmp_path: Path) -> None:
    app = make_app(tmp_path, BUSY_MS=50)
    other = sqlite.connect(str(tmp_path / "chatsite.db"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with app.app_context(), pytest.raises(DatabaseBusyError):
        accounts.find_or_create("somebody")
    other.execute("ROLLBACK")
    with app.app_context():
        assert accounts.find_or_create("somebody")
    other.close()
    close(app)


def test_a_full_disk_is_said_and_nothing_is_stored(app: Flask) -> None:
    with app.app_context():
        db.engine.dispose()

        @event.listens_for(db.engine, "connect")
        def no_more_room(connection, _record) -> None:  # type: ignore[no-untyped-def]
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={pages}")

        with pytest.raises(StorageFullError), write() as session:
            session.add_all(User(token_hash=f"{number:064}") for number in range(2000))
        assert db.session.scalars(select(User)).all() == []


def test_a_write_inside_a_write_joins_it(app: Flask) -> None:
    with app.app_context():
        with contextlib.suppress(ZeroDivisionError), write():
            accounts.find_or_create("inner")
            raise ZeroDivisionError
        assert accounts.find("inner") is None


def test_a_write_decides_on_what_is_true_now(app: Flask) -> None:
    with app.app_context():
        user = accounts.find_or_create("somebody")
        with db.engine.begin() as other:
            other.execute(text("UPDATE user SET token_hash = 'changed'"))
        with write():
            assert user.token_hash == "changed"
