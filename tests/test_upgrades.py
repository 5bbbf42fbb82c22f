"""Upgrades keep what is stored: a database as an earlier version left it, with rows in every table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import MetaData, inspect, text

from chatsite import create_app
from chatsite.config import ROOT
from chatsite.database import db
from chatsite.models import Role
from chatsite.services import accounts, branches, claims, conversations, messages, windows
from tests.conftest import LIMITS, close, postgres_url

BEFORE_BRANCHES = "0002"
THEN = datetime.fromisoformat("2026-01-02 03:04:05.678900")
LONG = 40


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """An app whose database is that of the version before branches, with two people's conversations."""
    url = "" if request.param == "sqlite" else postgres_url()
    app = create_app({"INSTANCE": tmp_path, "MODEL": "scripted", "LOG_LEVEL": "error", "DATABASE_URL": url})
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
    close(app)


def _fill() -> None:
    """Two people; a long conversation, a short one, one whose answer is being written, and an empty one."""
    tables = MetaData()
    with db.engine.begin() as connection:
        tables.reflect(connection)
        add = {name: table.insert() for name, table in tables.tables.items()}
        when = {"created_at": THEN, "updated_at": THEN}
        for user, name in enumerate(("alice", "bob"), start=1):
            row = {"id": user, "token_hash": accounts.token_hash(name), "created_at": THEN}
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


def test_an_upgrade_keeps_every_row(old: Flask) -> None:
    with old.app_context():
        before = _counts()
        assert before["message"] == LONG + 2 + 4
        upgrade()
        assert _counts() == before
        if db.engine.dialect.name == "sqlite":
            assert db.session.execute(text("PRAGMA foreign_key_check")).all() == []
            assert db.session.scalar(text("PRAGMA integrity_check")) == "ok"
        db.session.remove()


def test_old_messages_become_one_branch_in_their_old_order(old: Flask) -> None:
    with old.app_context():
        upgrade()
        alice = accounts.find("alice")
        for key, length in ((1, LONG), (2, 2)):
            conversation = conversations.get(alice, f"conversation-{key}")
            window = windows.until(conversation, size=LONG)
            assert [each.public_id for each in window.messages] == [f"message-{key}-{step}" for step in range(length)]
            assert not window.earlier
            assert branches.places(window.messages) == {}
        db.session.remove()


def test_what_was_being_written_goes_on_after_the_upgrade(old: Flask) -> None:
    with old.app_context():
        upgrade()
        [claim] = claims.claim("runner", 5, 5, 2)
        assert [turn.text for turn in claim.turns] == ["Text 3 0", "Text 3 1", "Text 3 2"]
        assert claim.prefix == "Half of"
        db.session.remove()


def test_an_upgraded_conversation_goes_on_and_branches(old: Flask) -> None:
    with old.app_context():
        upgrade()
        alice = accounts.find("alice")
        conversation = conversations.get(alice, "conversation-2")
        turn = messages.post(alice, conversation, "And then?", "t1", LIMITS)
        assert turn.question.parent_id == messages.get(alice, "message-2-1").id
        empty = conversations.get(accounts.find("bob"), "conversation-4")
        assert windows.until(empty).messages == []
        first = messages.post(accounts.find("bob"), empty, "At last", "t2", LIMITS)
        assert first.question.parent_id is None
        assert first.question.role is Role.USER
        db.session.remove()


def test_step_by_step_no_upgrade_loses_a_row_or_a_trigger(old: Flask) -> None:
    """Tables that are copied lose their triggers, and parents that are copied take their children with them."""
    with old.app_context():
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


def test_back_and_forth_keeps_every_row(old: Flask) -> None:
    with old.app_context():
        before = _counts()
        upgrade()
        downgrade(revision=BEFORE_BRANCHES)
        assert _counts() == before
        upgrade()
        assert _counts() == before
        alice = accounts.find("alice")
        window = windows.until(conversations.get(alice, "conversation-1"), size=LONG)
        assert len(window.messages) == LONG
        db.session.remove()
