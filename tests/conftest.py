"""What all tests share: an app on a database of its own, and three people.

`app` runs on SQLite. Tests of rules ask for `any_app`, which runs them on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest
from flask import Flask
from jinja2 import StrictUndefined
from sqlalchemy import create_engine, make_url, text

from chatsite import create_app
from chatsite.database import Base, db
from chatsite.models import User
from chatsite.services import accounts
from chatsite.services.generations import Limits
from tests.stores import share_assets

POSTGRES_URL = os.environ.get("CHATSITE_TEST_POSTGRES_URL", "")
LIMITS = Limits(message_chars=8000, per_user=3, total=50)


def make_app(folder: Path, **config: object) -> Flask:
    """An app whose instance folder is `folder`, with the tables made."""
    settings = {"INSTANCE": folder, "MODEL": "scripted", "LOG_LEVEL": "error", "LEASE_SECONDS": 5.0, "DATABASE_URL": ""}
    share_assets(folder)
    app = create_app({**settings, **config})
    app.testing = False
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.jinja_env.undefined = StrictUndefined
    with app.app_context():
        db.create_all()
    return app


def close(app: Flask) -> None:
    """Give all connections back, so that none is left for the garbage collector to complain about."""
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    """An app on SQLite."""
    made = make_app(tmp_path)
    yield made
    close(made)


@pytest.fixture(params=["sqlite", "postgresql"])
def any_app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """An app on SQLite, and once more on PostgreSQL."""
    if request.param == "sqlite":
        made = make_app(tmp_path)
    else:
        made = make_app(tmp_path, DATABASE_URL=postgres_url())
        with made.app_context(), db.engine.begin() as connection:
            tables = ", ".join(f'"{table.name}"' for table in Base.metadata.sorted_tables)
            connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    yield made
    close(made)


def postgres_url() -> str:
    """The address of the PostgreSQL server for tests; skips where there is none, unless one is required."""
    if not POSTGRES_URL:
        if os.environ.get("CHATSITE_REQUIRE_POSTGRES") == "1":
            pytest.fail("CHATSITE_TEST_POSTGRES_URL is not set, and PostgreSQL is required.")
        pytest.skip("NOT TESTED ON POSTGRESQL: CHATSITE_TEST_POSTGRES_URL names no server.")
    return _database_of(os.environ.get("PYTEST_XDIST_WORKER", ""))


@lru_cache
def _database_of(worker: str) -> str:
    """The address of the database of one test process: those that run side by side have one each."""
    url = make_url(POSTGRES_URL)
    if not worker:
        return POSTGRES_URL
    name = f"{url.database}_{worker}"
    engine = create_engine(url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if connection.scalar(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}) is None:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return url.set(database=name).render_as_string(hide_password=False)


@dataclass(frozen=True)
class People:
    """Alice owns what the tests are about; Bob is another user; Charlie never wrote anything."""

    alice: User
    bob: User


@pytest.fixture
def people(any_app: Flask) -> Iterator[People]:
    """Two users, in an app context that lasts for the test."""
    with any_app.app_context():
        yield People(accounts.find_or_create("alice-token"), accounts.find_or_create("bob-token"))
        db.session.remove()
