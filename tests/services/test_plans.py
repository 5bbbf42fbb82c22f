"""What is stored must not make anything slower: no statement of the daily life reads a whole table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from sqlalchemy import event

from chatsite.database import db
from chatsite.models import RunnerState, Status
from chatsite.services import accounts, changes, claims, conversations, generations, messages, receipts, runners
from tests.conftest import LIMITS

GROWING = ("conversation", "message", "generation", "chunk", "user")


@contextmanager
def explained() -> Iterator[list[tuple[str, str]]]:
    """Collects each statement with a step of its plan that reads a whole table."""
    scans: list[tuple[str, str]] = []

    def explain(connection, cursor, statement, parameters, context, many) -> None:  # type: ignore[no-untyped-def]
        if many or not statement.startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            return
        plan = connection.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        for *_, step in plan.fetchall():
            words = step.split()
            if words[0] == "SCAN" and words[1].removesuffix("_1") in GROWING:
                scans.append((step, statement))

    event.listen(db.engine, "before_cursor_execute", explain)
    try:
        yield scans
    finally:
        event.remove(db.engine, "before_cursor_execute", explain)


def daily_life() -> None:
    """Everything that happens between a question and its answer, and what a page asks for."""
    alice = accounts.find_or_create("alice")
    first = messages.start(alice, "Hi", "t1", "Hi", LIMITS)
    runners.beat("runner", "scripted", RunnerState.READY)
    assert claims.waiting()
    [claim] = claims.claim("runner", 4, 5, 2)
    claims.standing("runner")
    claims.record("runner", {claim.generation_id: claims.Written(1, text="Half", tokens=1)}, 5)
    changes.follow({claim.generation_id: 0})
    generations.stop(messages.get(alice, first.answer.public_id))
    receipt = {"budget": 100, "used": 1, "turns": [[0, "user", 1, True, False]]}
    done = claims.Written(1, text=".", tokens=1, receipt=receipt, status=Status.FAILED, reason="error")
    claims.record("runner", {claim.generation_id: done}, 5)
    receipts.reading(messages.get(alice, first.answer.public_id))
    receipts.outlook(first.conversation, 100)
    generations.repeat(messages.get(alice, first.answer.public_id), keep_text=False, limits=LIMITS)
    generations.stop(messages.get(alice, first.answer.public_id))
    messages.post(alice, first.conversation, "More", "t2", LIMITS)
    claims.release("runner")
    conversations.get(alice, first.conversation.public_id)
    page = conversations.page(alice, size=1)
    conversations.page(alice, before=f"{1}.{1}" if page.next is None else page.next)
    window = messages.window(first.conversation, size=1)
    messages.window(first.conversation, before=window.messages[0].public_id)
    messages.since(first.conversation, window.messages[0].public_id)
    runners.current(5)
    conversations.rename(first.conversation, "Other")
    conversations.destroy(first.conversation)


def test_no_statement_reads_a_whole_table(app: Flask) -> None:
    with app.app_context():
        with explained() as scans:
            daily_life()
        assert scans == []
        db.session.remove()


def test_the_check_sees_a_scan(app: Flask) -> None:
    """The guard of the test above."""
    with app.app_context():
        with explained() as scans:
            db.session.execute(db.text("SELECT * FROM message WHERE text = 'x'"))
        assert len(scans) == 1
        db.session.remove()


@pytest.mark.parametrize("table", GROWING)
def test_deleting_a_parent_finds_its_children_by_an_index(app: Flask, table: str) -> None:
    """SQLite looks for children of a deleted row by the foreign key's columns."""
    with app.app_context():
        for key in db.metadata.tables[table].foreign_keys:
            if key.parent.name == "user_id" and table == "generation":
                continue  # Users are not deleted yet.
            plan = db.session.execute(
                db.text(f'EXPLAIN QUERY PLAN SELECT 1 FROM "{table}" WHERE {key.parent.name} = 1')
            ).all()
            assert all(step[-1].startswith("SEARCH") for step in plan), (table, key.parent.name, plan)
        db.session.remove()
