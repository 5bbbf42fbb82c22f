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
from chatsite.models.search import include_name
from chatsite.services import accounts, claims, messages, search, search_indexes
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
            context = MigrationContext.configure(connection, opts={"include_name": include_name})
            differences = compare_metadata(context, Base.metadata)
        assert differences == []


def search_objects() -> dict[str, str]:
    """What finds messages: virtual tables, side tables, indexes, functions and triggers, by name, as they were made."""
    sqlite = "SELECT name, sql FROM sqlite_master WHERE name LIKE '%search%' OR name LIKE '%fts'"
    postgresql = """
        SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE proname LIKE '%search%'
            AND pronamespace = 'public'::regnamespace
        UNION ALL SELECT 'on ' || tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE '%search'
        UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conname LIKE '%search%'
        UNION ALL SELECT table_name || column_name, data_type || is_nullable FROM information_schema.columns
            WHERE table_name LIKE '%search' AND table_schema = 'public'
    """
    rows = db.session.execute(text(sqlite if db.engine.dialect.name == "sqlite" else postgresql)).all()
    db.session.remove()
    return {name: definition.strip() for name, definition in rows}


def test_the_migrations_make_the_same_search_as_the_models(empty: Flask) -> None:
    """No migration may lose a trigger: where a table is altered by a copy, its triggers go with the old one."""
    with empty.app_context():
        upgrade()
        migrated = search_objects()
        downgrade(revision="base")
        assert search_objects() == {}
        db.drop_all()
        db.create_all()
        assert migrated == search_objects()
        assert len(migrated) >= 11
        db.drop_all()
        assert search_objects() == {}


def test_what_was_there_before_the_index_is_found(empty: Flask) -> None:
    with empty.app_context():
        upgrade()
        alice = accounts.find_or_create("alice")
        messages.start(alice, "Where is the bread?", "t1", "Bread", LIMITS)
        downgrade(revision="0003")
        upgrade()
        assert search.find(accounts.find("alice"), "bread").count == 2
        assert search_indexes.drift() == 0
        db.session.remove()


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
