"""PostgreSQL: what hangs is given up, what was lost comes back, and what may take long does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import create_engine, event, text

from chatsite import database_connections
from chatsite.cli.migrations import _migration_lock
from chatsite.database import db, write_transaction
from chatsite.database_connections import (
    POSTGRES_CONNECTION,
    POSTGRES_TIMEOUTS,
    allow_slow_statements,
    engine_options,
)
from chatsite.errors import DatabaseBusyError, DatabaseUnavailableError
from chatsite.models import User
from chatsite.services.accounts import users
from tests.conftest import close_app, make_app, postgres_url
from tests.support.served_site import wait_until
from tests.support.web_fixtures import WebClient

SHORT_TIMEOUTS = {"lock_timeout": "200ms", "statement_timeout": "20s", "idle_in_transaction_session_timeout": "1s"}


@pytest.fixture
def server_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """An app on PostgreSQL with SHORT_TIMEOUTS."""
    monkeypatch.setattr(database_connections, "POSTGRES_TIMEOUTS", SHORT_TIMEOUTS)
    app = make_app(tmp_path, DATABASE_URL=postgres_url())
    yield app
    close_app(app)


def test_connections_have_timeouts_and_keepalives(tmp_path: Path) -> None:
    app = make_app(tmp_path, DATABASE_URL=postgres_url())
    with app.app_context():
        shown = {name: db.session.scalar(text(f"SHOW {name}")) for name in POSTGRES_TIMEOUTS}
        driver_connection: Any = db.session.connection().connection.driver_connection
        parameters = driver_connection.info.get_parameters()
        db.session.remove()
    close_app(app)
    assert shown == {"lock_timeout": "5s", "statement_timeout": "1min", "idle_in_transaction_session_timeout": "15s"}
    assert {name: parameters[name] for name in POSTGRES_CONNECTION} == {
        name: str(value) for name, value in POSTGRES_CONNECTION.items()
    }


def test_address_of_the_database_may_set_its_own_keepalives() -> None:
    options = engine_options("postgresql+psycopg://host/name?keepalives_idle=60", 1000)
    assert "keepalives_idle" not in options["connect_args"]
    assert options["connect_args"]["keepalives_count"] == 3


def test_frozen_writer_is_waited_for_with_an_end_and_loses_its_locks(server_app: Flask) -> None:
    with server_app.app_context():
        users.get_or_create_by_token("somebody")
        db.session.remove()
        # A host that vanished in the middle of a transaction: it holds a row and says nothing more.
        frozen = db.engine.connect()
        frozen.execute(text('UPDATE "user" SET token_hash = token_hash'))

        def rename() -> None:
            with write_transaction() as tx:
                tx.execute(text("UPDATE \"user\" SET token_hash = 'other'"))

        with pytest.raises(DatabaseBusyError):
            rename()

        def can_rename() -> bool:
            try:
                rename()
            except DatabaseBusyError:
                return False
            return True

        wait_until(can_rename, what="The end of the frozen transaction")
        with pytest.raises(DatabaseUnavailableError):
            frozen.execute(text('UPDATE "user" SET token_hash = token_hash'))
        frozen.close()


def test_statement_that_takes_too_long_is_a_busy_database(server_app: Flask) -> None:
    with server_app.app_context():
        db.session.execute(text("SET LOCAL statement_timeout = '100ms'"))
        with pytest.raises(DatabaseBusyError):
            db.session.execute(text("SELECT pg_sleep(60)"))
        db.session.rollback()
        with db.engine.begin() as connection:
            allow_slow_statements(connection)
            assert [connection.scalar(text(f"SHOW {name}")) for name in POSTGRES_TIMEOUTS] == ["0", "0", "0"]
        assert db.session.scalar(text("SHOW statement_timeout")) == "20s"
        db.session.remove()


def end_all_connections() -> None:
    """End all connections of the database but our own, as a restart of the server does."""
    engine = create_engine(postgres_url(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    engine.dispose()


def test_lost_connection_is_a_sentence_and_the_next_one_works(server_app: Flask) -> None:
    client = WebClient(server_app.test_client())
    client.start_conversation("Hello")
    with server_app.app_context():

        def write_while_the_server_restarts() -> None:
            with write_transaction() as tx:
                tx.execute(text("SELECT 1"))
                end_all_connections()
                tx.add(User(token_hash="lost"))

        with pytest.raises(DatabaseUnavailableError):
            write_while_the_server_restarts()
        assert users.find_by_token("lost") is None
        db.session.remove()
    end_all_connections()
    assert client.get("/").status_code == 200
    assert client.start_conversation("Again")


def test_server_that_is_away_is_a_503_for_pages_and_posts(tmp_path: Path) -> None:
    app = make_app(tmp_path, DATABASE_URL=postgres_url())
    client = WebClient(app.test_client())
    client.get("/")
    with app.app_context():
        db.engine.dispose()

        @event.listens_for(db.engine, "do_connect")
        def connect_nowhere(_dialect: object, _record: object, _arguments: object, options: dict[str, object]) -> None:
            options["port"] = 1

    responses = [client.get("/"), client.post_question("Kept?"), client.get("/readyz")]
    assert [response.status_code for response in responses] == [503, 503, 503]
    assert [response.headers["Retry-After"] for response in responses[:2]] == ["2", "2"]
    assert ">Kept?</textarea>" in responses[1].text
    assert responses[2].json == {"ready": False, "reason": "database: database_unavailable"}


def test_waiting_for_migrations_ends_no_connection(server_app: Flask) -> None:
    with server_app.app_context(), _migration_lock(server_app):
        # Longer than a connection may be idle in a transaction.
        end = time.monotonic() + 1.5
        wait_until(lambda: time.monotonic() > end)
        assert db.session.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")) == 1
        db.session.remove()
