"""Upgrades keep what is stored: a database as an earlier version left it, with rows in every table."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import JSON, Column, MetaData, inspect, select, text

from chatsite import create_app
from chatsite.cli.migrations import migrate
from chatsite.database import db
from chatsite.database_file import create_file
from chatsite.errors import ChatsiteError
from chatsite.models import Generation, Role
from chatsite.services.accounts import users
from chatsite.services.chat import (
    conversations,
    generation_leases,
    message_pages,
    message_tree,
    messages,
    title_requests,
)
from chatsite.settings import ROOT
from tests.conftest import LIMITS, close_app, postgres_url

BEFORE_BRANCHES = "0002"
THEN = datetime.fromisoformat("2026-01-02 03:04:05.678900")
LONG = 40


@pytest.fixture(params=["sqlite", "postgresql"])
def old_app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """An app whose database is that of the version before branches, with two people's conversations."""
    url = "" if request.param == "sqlite" else postgres_url()
    create_file(tmp_path / "chatsite.db")
    app = create_app({"INSTANCE": tmp_path, "DEFAULT_MODEL": "scripted", "LOG_LEVEL": "error", "DATABASE_URL": url})
    migrate.init_app(app)
    with app.app_context():
        db.drop_all()
        with db.engine.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
        upgrade(revision=BEFORE_BRANCHES)
        _fill()
    yield app
    with app.app_context():
        downgrade(revision="base")
        db.create_all()
        with db.engine.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    close_app(app)


def _fill() -> None:
    """Two people; a long conversation, a short one, one whose answer is being written, and an empty one."""
    tables = MetaData()
    with db.engine.begin() as connection:
        tables.reflect(connection)
        add = {name: table.insert() for name, table in tables.tables.items()}
        when = {"created_at": THEN, "updated_at": THEN}
        for user, name in enumerate(("alice", "bob"), start=1):
            row = {"id": user, "token_hash": users.token_hash(name), "created_at": THEN}
            connection.execute(add["user"], row)
        for key, (user, length) in enumerate(((1, LONG), (1, 2), (2, 4), (2, 0)), start=1):
            connection.execute(
                add["conversation"],
                {"id": key, "public_id": f"conversation-{key}", "user_id": user, "title": f"T{key}", **when},
            )
            for step in range(length):
                _message(connection, add, key, user, step, last=key == 3 and step == length - 1)
        _advance_sequences(connection)


def _message(connection: Any, add: dict[str, Any], key: int, user: int, step: int, last: bool) -> None:
    # The ids of the conversations are mixed, as they are where several people write at once.
    message = step * 10 + key
    connection.execute(
        add["message"],
        {
            "id": message,
            "public_id": f"message-{key}-{step}",
            "conversation_id": key,
            "role": "assistant" if step % 2 else "user",
            "text": "" if last else f"Text {key} {step}",
            "created_at": THEN,
        },
    )
    if step % 2 == 0:
        return
    connection.execute(
        add["generation"],
        {
            "id": message,
            "message_id": message,
            "user_id": user,
            "newest": True,
            "status": "queued" if last else "done",
            "attempt": 1,
            "cancel_requested": False,
            "seq": 1,
            "tokens": 3,
            "takes_over": False,
            "created_at": THEN,
        },
    )
    if last:
        chunk = {"generation_id": message, "seq": 1, "text": "Half of", "fresh": False}
        connection.execute(add["chunk"], chunk)


def _advance_sequences(connection: Any) -> None:
    if connection.dialect.name != "postgresql":
        return
    for table in ("user", "conversation", "message", "generation"):
        connection.execute(text(f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM \"{table}\"))"))


def _counts() -> dict[str, int]:
    """How many rows each table of the version before has now."""
    names = ("user", "conversation", "message", "generation", "chunk")
    with db.engine.connect() as connection:
        return {name: connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one() for name in names}


def _triggers() -> set[str]:
    """The names of all triggers."""
    sqlite = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    other = "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = 'public'"
    with db.engine.connect() as connection:
        return set(connection.execute(text(sqlite if connection.dialect.name == "sqlite" else other)).scalars())


def test_upgrade_keeps_every_row(old_app: Flask) -> None:
    with old_app.app_context():
        before = _counts()
        assert before["message"] == LONG + 2 + 4
        upgrade()
        assert _counts() == before
        if db.engine.dialect.name == "sqlite":
            assert db.session.execute(text("PRAGMA foreign_key_check")).all() == []
            assert db.session.scalar(text("PRAGMA integrity_check")) == "ok"
        db.session.remove()


def test_upgrade_turns_messages_into_one_branch(old_app: Flask) -> None:
    with old_app.app_context():
        upgrade()
        alice = users.identify_by_token("alice")
        for key, length in ((1, LONG), (2, 2)):
            conversation = conversations.get(alice, f"conversation-{key}")
            window = message_pages.page_before(conversation, size=LONG)
            assert [each.public_id for each in window.messages] == [f"message-{key}-{step}" for step in range(length)]
            assert not window.has_earlier
            assert message_tree.version_positions(window.messages) == {}
        db.session.remove()


def test_upgrade_keeps_running_generation(old_app: Flask) -> None:
    with old_app.app_context():
        upgrade()
        [claim] = generation_leases.claim("runner", 5, 5, max_attempts=2)
        assert [turn.text for turn in claim.messages] == ["Text 3 0", "Text 3 1", "Text 3 2"]
        assert claim.prefix_text == "Half of"
        db.session.remove()


def test_upgraded_conversation_can_continue_and_branch(old_app: Flask) -> None:
    with old_app.app_context():
        upgrade()
        alice, bob = users.find_by_token("alice"), users.find_by_token("bob")
        assert alice
        assert bob
        conversation = conversations.get(alice, "conversation-2")
        turn = messages.post_message(alice, conversation, messages.NewMessage("And then?", "t1"), limits=LIMITS)
        assert turn.question.parent_id == messages.get(alice, "message-2-1").id
        empty = conversations.get(bob, "conversation-4")
        assert message_pages.page_before(empty).messages == []
        first = messages.post_message(bob, empty, messages.NewMessage("At last", "t2"), limits=LIMITS)
        assert first.question.parent_id is None
        assert first.question.role is Role.USER
        db.session.remove()


def test_titles_from_before_count_as_persons(old_app: Flask) -> None:
    """Also those that workers of the version before store meanwhile, which know nothing of the column."""
    with old_app.app_context():
        upgrade()
        with db.engine.begin() as connection:
            row = {"user_id": 1, "title": "T9", "public_id": "conversation-9", "when": THEN}
            columns = "user_id, title, public_id, created_at, updated_at"
            values = ":user_id, :title, :public_id, :when, :when"
            connection.execute(text(f"INSERT INTO conversation ({columns}) VALUES ({values})"), row)
            sources = connection.execute(text("SELECT DISTINCT title_source FROM conversation")).scalars().all()
        assert sources == ["person"]
        assert not title_requests.has_work()
        db.session.remove()


def test_each_upgrade_step_keeps_rows_and_triggers(old_app: Flask) -> None:
    """Tables that are copied lose their triggers, and parents that are copied take their children with them."""
    with old_app.app_context():
        before, triggers = _counts(), _triggers()
        for revision in sorted(path.name[:4] for path in (ROOT / "migrations" / "versions").glob("0*.py")):
            if revision <= BEFORE_BRANCHES:
                continue
            upgrade(revision=revision)
            assert _counts() == before, revision
            assert triggers <= _triggers(), revision
            triggers = _triggers()
        made = set(inspect(db.engine).get_table_names())
        assert {"tag", "share", "undo", "persona", "import"} <= made
        db.session.remove()


def test_downgrade_and_upgrade_keep_every_row(old_app: Flask) -> None:
    with old_app.app_context():
        before = _counts()
        upgrade()
        downgrade(revision=BEFORE_BRANCHES)
        assert _counts() == before
        upgrade()
        assert _counts() == before
        alice = users.identify_by_token("alice")
        window = message_pages.page_before(conversations.get(alice, "conversation-1"), size=LONG)
        assert len(window.messages) == LONG
        db.session.remove()


FETCHED = "The model cannot be loaded: a.bin of x/y cannot be fetched: the connection ends too early."


def _error(message: int) -> str:
    with db.engine.connect() as connection:
        query = text("SELECT error FROM generation WHERE message_id = :id")
        return str(connection.execute(query, {"id": message}).scalar_one())


def test_sentences_become_codes_and_sentences_again(old_app: Flask) -> None:
    texts = {11: FETCHED, 12: "RuntimeError: out of memory, 100 %", 13: "Write something first."}
    with old_app.app_context():
        upgrade(revision="0004")
        with db.engine.begin() as connection:
            for message, sentence in texts.items():
                values = {"id": message, "error": sentence}
                connection.execute(text("UPDATE generation SET error = :error WHERE message_id = :id"), values)
        upgrade()
        errors = {message: json.loads(_error(message)) for message in texts}
        assert errors[12] == {"code": "other", "params": {"text": texts[12]}}
        assert errors[13] == {"code": "empty_message", "params": {}}
        assert errors[11]["params"]["reason"]["params"]["cause"] == {"code": "connection_closed", "params": {}}
        read = db.session.scalars(select(Generation).where(Generation.message_id.in_(texts))).all()
        assert {row.message_id: str(row.error) for row in read} == {
            11: "Cannot load the model: cannot download a.bin of x/y: the connection ended too early.",
            12: texts[12],
            13: "Write a message first.",
        }
        db.session.remove()
        downgrade(revision="0004")
        assert {message: _error(message) for message in texts} == texts
        upgrade()


def test_the_migration_gives_codes_that_are_known() -> None:
    migration = runpy.run_path(str(ROOT / "migrations" / "versions" / "0005_error_codes.py"))
    assert set(migration["SENTENCES"]) <= set(ChatsiteError.by_code)


def _has_own_rows(table: str) -> bool:
    """Whether a table is neither part of the search index nor Alembic's."""
    return table != "alembic_version" and not any(part in table for part in ("_search", "_fts"))


def _fill_every_column() -> None:
    """Add one row with a value in every column to every table."""
    tables = MetaData()
    with db.engine.begin() as connection:
        tables.reflect(connection)
        for table in tables.sorted_tables:
            if _has_own_rows(table.name):
                connection.execute(table.insert(), {column.name: _some_value(column) for column in table.columns})


def _some_value(column: Column[Any]) -> object:
    for key in column.foreign_keys:
        if key.column.table is column.table:
            return None
        return _some_value(key.column)
    values: dict[type, object] = {str: "1000", int: 1000, float: 0.5, bool: False, bytes: b"1000", datetime: THEN}
    if isinstance(column.type, JSON):
        return {"key": [1000]}
    return values[column.type.python_type]


def _dump() -> dict[str, list[str]]:
    """All rows of all tables but those of the search index."""
    tables = MetaData()
    with db.engine.connect() as connection:
        tables.reflect(connection)
        return {
            name: sorted(repr(row._mapping) for row in connection.execute(table.select()))
            for name, table in tables.tables.items()
            if _has_own_rows(name)
        }


def test_names_change_and_change_back_without_loss(old_app: Flask) -> None:
    with old_app.app_context():
        upgrade(revision="0004")
        _fill_every_column()
        before, triggers_before = _dump(), _triggers()
        assert all(before.values())
        upgrade()
        after, triggers_after = _dump(), _triggers()
        assert sum(map(len, after.values())) == sum(map(len, before.values()))
        downgrade(revision="0004")
        assert (_dump(), _triggers()) == (before, triggers_before)
        upgrade()
        assert (_dump(), _triggers()) == (after, triggers_after)
        db.session.remove()
