"""Migrations make the tables that the models describe, and keep what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import inspect, text

from chatsite import create_app
from chatsite.database import Base, db
from chatsite.services import accounts, claims, messages
from tests.conftest import LIMITS, close, postgres_url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """An app on a database without tables."""
    url = "" if request.param == "sqlite" else postgres_url()
    app = create_app({"INSTANCE": tmp_path, "MODEL": "scripted", "LOG_LEVEL": "error", "DATABASE_URL": url})
    with app.app_context():
        db.drop_all()
        with db.engine.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    yield app
    with app.app_context():
        db.drop_all()
        db.create_all()
        with db.engine.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    close(app)


def test_the_migrations_make_what_the_models_describe(empty: Flask) -> None:
    with empty.app_context():
        upgrade()
        with db.engine.connect() as connection:
            differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
        assert differences == []


def test_upgrading_twice_changes_nothing_and_keeps_the_rows(empty: Flask) -> None:
    with empty.app_context():
        upgrade()
        turn = messages.start(accounts.find_or_create("alice"), "Hi", "t1", "Hi", LIMITS)
        claims.claim("runner", 1, 5, 2)
        name = turn.answer.public_id
        upgrade()
        assert messages.get(accounts.find("alice"), name).public_id == name


def test_downgrading_leads_back_to_nothing(empty: Flask) -> None:
    with empty.app_context():
        upgrade()
        downgrade(revision="base")
        assert set(inspect(db.engine).get_table_names()) <= {"alembic_version"}


def test_foreign_keys_are_on_again_after_a_migration(empty: Flask) -> None:
    with empty.app_context():
        upgrade()
        if db.engine.dialect.name == "sqlite":
            assert db.session.scalar(text("PRAGMA foreign_keys")) == 1
