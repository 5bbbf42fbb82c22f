"""What is stored must not make anything slower: no statement of the daily life reads a whole table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from sqlalchemy import event

from chatsite.database import db
from chatsite.models import Message, RunnerState, Status, User
from chatsite.services import (
    accounts,
    branches,
    changes,
    claims,
    comparisons,
    conversations,
    drafts,
    generations,
    imports,
    messages,
    personas,
    ratings,
    receipts,
    runners,
    search,
    settings,
    shares,
    tags,
    temporary,
    trash,
    undos,
    windows,
)
from chatsite.services.answerers import Answerer
from chatsite.services.settings import Settings
from chatsite.services.transfer import markdown
from tests.conftest import LIMITS
from tests.services import foreign
from tests.services.transferring import bring, export

GROWING = (
    "conversation",
    "message",
    "generation",
    "chunk",
    "user",
    "tag",
    "conversation_tag",
    "undo",
    "persona",
    "share",
    "import_note",
    "import_part",
)


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


@contextmanager
def steps() -> Iterator[list[str]]:
    """Collects the steps of the plans of all statements."""
    found: list[str] = []

    def explain(connection, cursor, statement, parameters, context, many) -> None:  # type: ignore[no-untyped-def]
        plan = connection.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        found.extend(step for *_, step in plan.fetchall())

    event.listen(db.engine, "before_cursor_execute", explain)
    try:
        yield found
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
    conversations.recent(alice, 7)
    conversations.page(alice, before=f"{1}.{1}" if page.next is None else page.next)
    window = windows.until(first.conversation, size=1)
    windows.until(first.conversation, before=window.messages[0].public_id)
    windows.since(first.conversation, window.messages[0].public_id)
    windows.after(first.conversation, window.messages[0].public_id)
    windows.around(first.conversation, first.question.id)
    branches.first_since(first.conversation, first.question.created_at)
    messages.by_id(branches.root(first.conversation) or 0)
    generations.stop(window.messages[0])
    edited = messages.edit(alice, first.question, "Hello", "t-edit", LIMITS)
    generations.stop(edited.answer)
    again = messages.answer_again(alice, edited.answer, LIMITS)
    generations.stop(again)
    branches.places([first.question, edited.question, edited.answer, again])
    branches.show(first.question)
    ratings.rate(messages.get(alice, again.public_id), ratings.GOOD, "Good")
    branches.fork(alice, messages.get(alice, again.public_id))
    runners.current(5)
    order(alice, first.conversation.public_id)
    look_for(alice)
    live_with_settings(alice)
    show_and_hush(alice, messages.get(alice, again.public_id))
    conversations.rename(first.conversation, "Other")
    conversations.destroy(first.conversation)


def show_and_hush(alice: User, leaf: Message) -> None:
    """What is shared with others, and what is to be forgotten."""
    share = shares.create(leaf.conversation, "day", messages.get(alice, leaf.public_id))
    shares.page(alice, before="1.9")
    shares.page(alice, conversation=leaf.conversation)
    shares.read(share.public_id)
    shares.copy(alice, share.public_id, "copy")
    shares.extend(share, "never")
    shares.revoke(shares.get(alice, share.public_id))
    hushed = messages.start(alice, "Hush", "hush", "Hush", LIMITS, temporary=True).conversation
    temporary.leave(hushed)
    temporary.stay(hushed)
    temporary.close(hushed)
    temporary.sweep()


def look_for(alice: User) -> None:
    """Every way to search."""
    for typed in ("hi", '"hi" -more', "in:title hi", "by:me tag:work -tag:play", "model:x before:2030"):
        for sort in search.Sort:
            search.find(alice, typed, sort)
            search.find(alice, typed, sort, after="3")


def live_with_settings(alice: User) -> None:
    """Personas, drafts, and the same question to two models."""
    kept = personas.create(alice, Settings("Tutor", "Be patient."), Answerer())
    personas.update(personas.get(alice, kept.public_id), Settings("Tutor", "Be quick."), Answerer())
    personas.mine(alice)
    drafts.save(alice, "Hel", "", "t3", 8000)
    turn = messages.start(alice, "Hello", "t3", "Hello", LIMITS, Answerer("one"), None, [Answerer("two")])
    settings.change(turn.conversation, Settings("Tutor", "Be patient."))
    drafts.save(turn.conversation, "And", "", "t4", 8000)
    drafts.of(conversations.get(alice, turn.conversation.public_id))
    answer = messages.get(alice, turn.answer.public_id)
    comparisons.columns(answer)
    comparisons.stop(answer)
    comparisons.choose(answer)
    messages.post(alice, turn.conversation, "And?", "t4", LIMITS)
    personas.destroy(kept)


def carry(alice: User) -> None:
    """Everything leaves as a file and comes in again, beside a file that brings something new."""
    for user in (alice, accounts.find_or_create("carrier")):
        list(markdown.export(user.id, "You"))
        found = bring(user, export(alice) if user is not alice else [foreign.claude()])
        imports.newest(user)
        imports.notes(found, "0")
        imports.notes(found, None, "skipped")
        imports.cancel(found)
        imports.destroy(found)


def order(alice: User, name: str) -> None:
    """What is done to keep conversations in order, and how it is undone."""
    chosen = tags.choose(alice, conversations.get(alice, name), [], "Work")
    tags.mark(alice, [name], tags.create(alice, "Home"))
    [tag, _] = tags.index(alice)
    conversations.tagged(alice, tag, before="1.1")
    tags.edit(tag, "Leisure", "red")
    conversations.pin(alice, [name])
    conversations.page(alice, before="p1.1")
    conversations.archive(alice, [name])
    conversations.archived(alice, before="1.1")
    undos.find(alice, chosen.public_id)
    undos.undo(alice, chosen.public_id)
    undos.undo(alice, tags.destroy(tag).public_id)
    thrown = trash.throw(alice, [name])
    trash.page(alice, before="1.1")
    undos.undo(alice, thrown.public_id)
    trash.throw(alice, [name])
    trash.sweep()
    undos.sweep()
    trash.restore(alice, [name])


def test_no_statement_reads_a_whole_table(app: Flask) -> None:
    with app.app_context():
        with explained() as scans:
            daily_life()
            carry(accounts.find_or_create("alice"))
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


def test_the_list_is_read_from_its_index_in_its_order(app: Flask) -> None:
    """However many conversations there are, a page of them is as many steps of the index as it has rows."""
    with app.app_context():
        alice = accounts.find_or_create("alice")
        tag = tags.create(alice, "Work")
        for read in (
            lambda: conversations.page(alice),
            lambda: conversations.recent(alice, 7),
            lambda: conversations.page(alice, before="p1.1"),
            lambda: conversations.tagged(alice, tag, before="1.1"),
            lambda: conversations.archived(alice, before="1.1"),
            lambda: trash.page(alice, before="1.1"),
        ):
            with steps() as found:
                read()
            assert found
            assert not [step for step in found if "SCAN" in step or "TEMP B-TREE" in step], found
        db.session.remove()


def test_what_was_found_is_loaded_by_its_ids(app: Flask) -> None:
    """Without statistics SQLite would rather read all conversations of the user."""
    with app.app_context():
        alice = accounts.find_or_create("alice")
        messages.start(alice, "Hi", "t1", "Hi", LIMITS)
        with steps() as found:
            look_for(alice)
        loads = [step for step in found if step.startswith(("SEARCH conversation ", "SEARCH message "))]
        assert loads
        assert all("INTEGER PRIMARY KEY" in step for step in loads), loads
        db.session.remove()
