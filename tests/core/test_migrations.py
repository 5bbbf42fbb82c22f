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
from chatsite.cli.migrations import migrate
from chatsite.database import Base, db
from chatsite.database_file import create_file
from chatsite.models.search_index import include_name
from chatsite.services.accounts import users
from chatsite.services.chat import generation_leases, messages
from chatsite.services.search import indexes, search
from chatsite.services.search.query import parse_query
from tests.conftest import LIMITS, close_app, postgres_url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """An app on a database without tables."""
    url = "" if request.param == "sqlite" else postgres_url()
    create_file(tmp_path / "chatsite.db")
    app = create_app({"INSTANCE": tmp_path, "DEFAULT_MODEL": "scripted", "LOG_LEVEL": "error", "DATABASE_URL": url})
    migrate.init_app(app)
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
    close_app(app)


def test_migrations_match_models(empty_app: Flask) -> None:
    with empty_app.app_context():
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


def test_migrations_create_same_search_objects_as_models(empty_app: Flask) -> None:
    """No migration may lose a trigger: where a table is altered by a copy, its triggers go with the old one."""
    with empty_app.app_context():
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


def test_migration_indexes_existing_messages(empty_app: Flask) -> None:
    with empty_app.app_context():
        upgrade()
        alice = users.get_or_create_by_token("alice")
        messages.start_conversation(
            alice, messages.NewConversation("Bread"), messages.NewMessage("Where is the bread?", "t1"), limits=LIMITS
        )
        downgrade(revision="0003")
        upgrade()
        assert search.search(users.identify_by_token("alice"), "bread").result_count == 2
        assert indexes.count_drift() == 0
        db.session.remove()


def test_migration_segments_indexed_messages_and_titles(empty_app: Flask) -> None:
    with empty_app.app_context():
        upgrade()
        user_id = users.get_or_create_by_token("alice").id
        question = messages.NewMessage("昨日は東京でラーメンを食べました 🎉", "t1")
        alice = users.get_or_create_by_token("alice")
        messages.start_conversation(alice, messages.NewConversation(question.text), question, limits=LIMITS)
        for revision, count in (("0006", 0), ("head", 1)):
            (upgrade if count else downgrade)(revision=revision)
            for typed in ("ラーメン", "🎉 昨日"):
                asked = user_id, parse_query(typed), indexes.SortKeyRange()
                assert len(indexes.newest_messages(*asked, limit=5)) == count
                assert len(indexes.newest_titles(*asked, limit=5)) == count
            assert indexes.count_drift() == 0
            db.session.remove()


def test_migration_folds_indexed_messages_and_titles(empty_app: Flask) -> None:
    with empty_app.app_context():
        upgrade()
        user_id = users.get_or_create_by_token("alice").id
        for number, words in enumerate(("Die Straße nach Łódź", "plain words", "Smørrebrød")):
            alice = users.get_or_create_by_token("alice")
            question = messages.NewMessage(words, f"t{number}")
            messages.start_conversation(alice, messages.NewConversation(words), question, limits=LIMITS)
        for revision, counts in (("0019", (0, 0, 1)), ("head", (1, 1, 1)), ("0019", (0, 0, 1)), ("head", (1, 1, 1))):
            (upgrade if revision == "head" else downgrade)(revision=revision)
            for typed, count in zip(("strasse lodz ", "smorrebrod ", "plain "), counts, strict=True):
                asked = user_id, parse_query(typed), indexes.SortKeyRange()
                assert len(indexes.newest_messages(*asked, limit=5)) == count
                assert len(indexes.newest_titles(*asked, limit=5)) == count
            assert indexes.count_drift() == 0
            db.session.remove()


def test_repeated_upgrade_changes_nothing(empty_app: Flask) -> None:
    with empty_app.app_context():
        upgrade()
        turn = messages.start_conversation(
            users.get_or_create_by_token("alice"),
            messages.NewConversation("Hi"),
            messages.NewMessage("Hi", "t1"),
            limits=LIMITS,
        )
        generation_leases.claim("runner", 1, 5, max_attempts=2)
        name = turn.answer.public_id
        upgrade()
        assert messages.get(users.identify_by_token("alice"), name).public_id == name


def test_downgrade_removes_all_tables(empty_app: Flask) -> None:
    with empty_app.app_context():
        upgrade()
        downgrade(revision="base")
        assert set(inspect(db.engine).get_table_names()) <= {"alembic_version"}


def test_foreign_keys_are_enabled_after_migration(empty_app: Flask) -> None:
    with empty_app.app_context():
        upgrade()
        if db.engine.dialect.name == "sqlite":
            assert db.session.scalar(text("PRAGMA foreign_keys")) == 1
