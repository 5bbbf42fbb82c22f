"""What all tests share: an app on a database of its own, and three people.

`app` runs on SQLite. Tests of rules ask for `any_app`, which runs them on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import hypothesis
import pytest
from flask import Flask
from jinja2 import StrictUndefined
from sqlalchemy import create_engine, make_url, text

from chatsite import create_app
from chatsite.config import key_config, load_secret_key
from chatsite.database import Base, db
from chatsite.database_connections import configure_engine, engine_options
from chatsite.database_file import create_file
from chatsite.models import User
from chatsite.services.accounts import users
from chatsite.services.chat.generations import QueueLimits
from tests.support.asset_cache import share_assets, share_builders, share_statements, store, use_shared_statements

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("without deadline", deadline=None)
hypothesis.settings.load_profile("without deadline")
# Browsers and a runner played by the test: fixtures for everything that goes through HTTP.
pytest_plugins = ["tests.support.web_fixtures"]

POSTGRES_URL = os.environ.get("CHATSITE_TEST_POSTGRES_URL", "")
LONGEST = (
    *(
        "tests/deploy/test_ray.py",
        "tests/engine/test_embedded_engine.py",
        "tests/chaos",
        "tests/engine/inference/test_beam_search.py",
    ),
    *("tests/engine/inference/test_executors.py", "tests/chat/test_state_machine.py"),
    *("tests/engine/inference/test_convert.py", "tests/engine/inference/test_checkpoint.py", "tests/browser"),
    *("tests/reliability", "tests/runner", "tests/engine", "tests/cli", "tests/accounts", "tests/core", "tests/chat"),
)
LIMITS = QueueLimits(max_message_chars=8000, max_queued_per_user=3, max_queued=50)


def pytest_configure() -> None:
    """Make the folder that all processes of this run share, before pytest-xdist starts them."""
    store()
    share_builders()
    share_statements()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process waits at the end for one that has just begun it."""
    items.sort(key=_turn)


def pytest_collection_finish() -> None:
    """Leave what was loaded so far out of all further garbage collections, as web workers do.

    A test process has loaded what the site never has in one: torch, transformers and all tests, over a million objects.
    """
    gc.collect()
    gc.freeze()


def _turn(item: pytest.Item) -> int:
    return next((turn for turn, start in enumerate(LONGEST) if item.nodeid.startswith(start)), len(LONGEST))


def make_app(folder: Path, **config: object) -> Flask:
    """An app whose instance folder is `folder`, with the tables made."""
    settings = {
        "INSTANCE": folder,
        "DEFAULT_MODEL": "scripted",
        "LOG_LEVEL": "error",
        "LEASE_SECONDS": 5.0,
        "DATABASE_URL": "",
    }
    share_assets(folder)
    app = create_app({**settings, **config})
    app.testing = False
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.jinja_env.undefined = StrictUndefined
    make_tables(app)
    with app.app_context():
        use_shared_statements(db.engine)
    if not app.config["SECRET_KEY"]:
        app.config.update(key_config(load_secret_key(folder)))
    return app


def make_tables(app: Flask) -> None:
    """Give the site's database its tables; a new SQLite file begins as a copy of one that has them."""
    file = app.config["DATABASE_FILE"]
    if file and not file.exists():
        shutil.copyfile(_empty_database(), file)
        return
    with app.app_context():
        db.create_all()


@cache
def _empty_database() -> Path:
    """A SQLite file with all tables and nothing in them, which all processes of this run copy."""
    made = store() / "empty.db"
    if not made.exists():
        own = made.with_suffix(f".{os.getpid()}")
        create_file(own)
        engine = create_engine(f"sqlite:///{own}", **engine_options("sqlite://", 1000))
        configure_engine(engine)
        Base.metadata.create_all(engine)
        # Whoever closes it last writes the log into the file.
        engine.dispose()
        own.replace(made)
    return made


def close_app(app: Flask) -> None:
    """Give all connections back, so that none is left for the garbage collector to complain about."""
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    """An app on SQLite."""
    new_app = make_app(tmp_path)
    yield new_app
    close_app(new_app)


@pytest.fixture(params=["sqlite", "postgresql"])
def any_app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """An app on SQLite, and once more on PostgreSQL."""
    if request.param == "sqlite":
        new_app = make_app(tmp_path)
    else:
        new_app = make_app(tmp_path, DATABASE_URL=postgres_url())
        with new_app.app_context(), db.engine.begin() as connection:
            tables = ", ".join(f'"{table.name}"' for table in Base.metadata.sorted_tables)
            connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    yield new_app
    close_app(new_app)


def postgres_url() -> str:
    """The address of the PostgreSQL server for tests; skips where there is none, unless one is required."""
    if not POSTGRES_URL:
        if os.environ.get("CHATSITE_REQUIRE_POSTGRES") == "1":
            pytest.fail("CHATSITE_TEST_POSTGRES_URL is not set, and PostgreSQL is required.")
        pytest.skip("NOT TESTED ON POSTGRESQL: CHATSITE_TEST_POSTGRES_URL names no server.")
    return _worker_database_url(os.environ.get("PYTEST_XDIST_WORKER", ""))


@lru_cache
def _worker_database_url(worker: str) -> str:
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


def fresh_postgres_url(name: str) -> str:
    """The address of an empty database without tables, for a site of its own; skips where `postgres_url` does."""
    url = make_url(postgres_url())
    own = f"{url.database}_{name}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{own}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{own}"'))
    engine.dispose()
    return url.set(database=own).render_as_string(hide_password=False)


@dataclass(frozen=True)
class People:
    """Alice owns what the tests are about; Bob is another user; Charlie never wrote anything."""

    alice: User
    bob: User


@pytest.fixture
def people(any_app: Flask) -> Iterator[People]:
    """Two users, in an app context that lasts for the test."""
    with any_app.app_context():
        yield People(users.get_or_create_by_token("alice-token"), users.get_or_create_by_token("bob-token"))
        db.session.remove()
