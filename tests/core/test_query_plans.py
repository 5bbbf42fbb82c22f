"""What is stored must not make anything slower: no statement of the daily life reads a whole table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from sqlalchemy import event

from chatsite.database import db
from chatsite.models import Message, RunnerState, Status, User
from chatsite.services import undo
from chatsite.services.accounts import users
from chatsite.services.chat import (
    branch_copies,
    chat_settings,
    comparisons,
    conversations,
    drafts,
    generation_leases,
    generation_progress,
    generations,
    message_pages,
    message_tree,
    messages,
    prompt_report,
    ratings,
    reruns,
    temporary,
    title_requests,
)
from chatsite.services.chat.chat_settings import ChatSettings
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.models import runners
from chatsite.services.models.choice import ModelChoice
from chatsite.services.organize import tags, trash
from chatsite.services.personas import personas
from chatsite.services.search import search
from chatsite.services.sharing import shares
from chatsite.services.transfer import imports
from chatsite.services.transfer.exports import export_markdown
from tests.conftest import LIMITS
from tests.support import other_exports
from tests.support.deleting import destroy
from tests.support.transfer_fixtures import export_native, import_file

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

    def explain(connection, cursor, statement, parameters, context, many) -> None:
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

    def explain(connection, cursor, statement, parameters, context, many) -> None:
        plan = connection.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        found.extend(step for *_, step in plan.fetchall())

    event.listen(db.engine, "before_cursor_execute", explain)
    try:
        yield found
    finally:
        event.remove(db.engine, "before_cursor_execute", explain)


def daily_life() -> None:
    """Everything that happens between a question and its answer, and what a page asks for."""
    alice = users.get_or_create_by_token("alice")
    first = messages.start_conversation(
        alice, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t1"), limits=LIMITS
    )
    runners.heartbeat("runner", "scripted", RunnerState.READY)
    assert generation_leases.has_work()
    [claim] = generation_leases.claim("runner", 4, 5, max_attempts=2)
    generation_leases.list_held("runner")
    generation_leases.heartbeat("runner", {claim.generation_id: GenerationUpdate(1, text="Half", new_tokens=1)}, 5)
    generation_progress.take_snapshots({claim.generation_id: 0})
    generations.stop(messages.get(alice, first.answer.public_id))
    report = {"budget": 100, "used": 1, "turns": [[0, "user", 1, True, False]]}
    done = GenerationUpdate(
        1, text=".", new_tokens=1, prompt_report=report, status=Status.FAILED, finish_reason="error"
    )
    generation_leases.heartbeat("runner", {claim.generation_id: done}, 5)
    prompt_report.load(messages.get(alice, first.answer.public_id))
    prompt_report.estimate_context_usage(first.conversation, 100)
    reruns.queue(messages.get(alice, first.answer.public_id), keep_text=False, limits=LIMITS)
    generations.stop(messages.get(alice, first.answer.public_id))
    messages.post_message(alice, first.conversation, messages.NewMessage("More", "t2"), limits=LIMITS)
    generation_leases.release("runner")
    conversations.get(alice, first.conversation.public_id)
    page = conversations.list_page(alice, size=1)
    conversations.list_recent(alice, 7)
    conversations.list_page(alice, before=f"{1}.{1}" if page.next is None else page.next)
    window = message_pages.page_before(first.conversation, size=1)
    message_pages.page_before(first.conversation, before=window.messages[0].public_id)
    message_pages.messages_after(first.conversation, window.messages[0].public_id)
    message_pages.page_after(first.conversation, window.messages[0].public_id)
    message_pages.page_around(first.conversation, first.question.id)
    message_tree.find_first_message_since(first.conversation, first.question.created_at)
    messages.get_by_id(message_tree.find_root_id(first.conversation) or 0)
    generations.stop(window.messages[0])
    edited = messages.edit_question(alice, first.question, messages.NewMessage("Hello", "t-edit"), limits=LIMITS)
    generations.stop(edited.answer)
    again = messages.regenerate_answer(alice, edited.answer, limits=LIMITS)
    generations.stop(again)
    message_tree.version_positions([first.question, edited.question, edited.answer, again])
    message_tree.show_branch(first.question)
    ratings.rate(messages.get(alice, again.public_id), ratings.GOOD, "Good")
    branch_copies.fork_conversation(alice, messages.get(alice, again.public_id))
    runners.find_current(5)
    order(alice, first.conversation.public_id)
    look_for(alice)
    live_with_settings(alice)
    show_and_hush(alice, messages.get(alice, again.public_id))
    name_by_model(alice)
    conversations.rename(first.conversation, "Other")
    destroy(first.conversation)


def show_and_hush(alice: User, leaf: Message) -> None:
    """What is shared with others, and what is to be forgotten."""
    share = shares.create(leaf.conversation, "day", messages.get(alice, leaf.public_id))
    shares.list_page(alice, before="1.9")
    shares.list_page(alice, conversation=leaf.conversation)
    shares.read_page(share.public_id)
    shares.copy_for_visitor(alice, share.public_id, "copy")
    shares.set_lifetime(share, "never")
    shares.revoke(shares.get(alice, share.public_id))
    hushed = messages.start_conversation(
        alice, messages.NewConversation("Hush", is_temporary=True), messages.NewMessage("Hush", "hush"), limits=LIMITS
    ).conversation
    temporary.expire_soon(hushed)
    temporary.extend_lifetime(hushed)
    temporary.delete_now(hushed)
    temporary.delete_expired()


def name_by_model(alice: User) -> None:
    """A title is asked for after the answer."""
    new = messages.NewConversation("By rule", wants_model_title=True)
    messages.start_conversation(alice, new, messages.NewMessage("Hi", "title"), limits=LIMITS)
    for claim in generation_leases.claim("runner", 9, 5, max_attempts=2):
        done = GenerationUpdate(claim.attempts, text=".", status=Status.DONE, finish_reason="end")
        generation_leases.heartbeat("runner", {claim.generation_id: done}, 5)
    title_requests.list_pending(alice)
    assert title_requests.has_work()
    claimed = title_requests.claim("runner", 5, max_attempts=2, can_write=lambda model: True)
    assert claimed
    title_requests.heartbeat("runner", claimed, 5)
    title_requests.release("runner")
    title_requests.give_up()
    title_requests.finish("runner", claimed, "Title")
    title_requests.delete_expired()


def look_for(alice: User) -> None:
    """Every way to search."""
    for typed in ("hi", '"hi" -more', "in:title hi", "by:me tag:work -tag:play", "model:x before:2030"):
        for sort in search.Sort:
            search.search(alice, typed, search.SearchOptions(sort=sort))
            search.search(alice, typed, search.SearchOptions(sort=sort, after="3"))


def live_with_settings(alice: User) -> None:
    """Personas, drafts, and the same question to two models."""
    kept = personas.create(alice, ChatSettings("Tutor", "Be patient."), ModelChoice())
    personas.update(personas.get_own(alice, kept.public_id), ChatSettings("Tutor", "Be quick."), ModelChoice())
    personas.list_for(alice)
    drafts.save(alice, "Hel", "", idempotency_key="t3", max_message_chars=8000)
    turn = messages.start_conversation(
        alice,
        messages.NewConversation("Hello"),
        messages.NewMessage("Hello", "t3", compare_with=[ModelChoice("two")]),
        limits=LIMITS,
        choice=ModelChoice("one"),
    )
    chat_settings.update(turn.conversation, ChatSettings("Tutor", "Be patient."))
    drafts.save(turn.conversation, "And", "", idempotency_key="t4", max_message_chars=8000)
    drafts.get_text(conversations.get(alice, turn.conversation.public_id))
    answer = messages.get(alice, turn.answer.public_id)
    comparisons.list_compared(answer)
    comparisons.stop(answer)
    comparisons.pick_winner(answer)
    messages.post_message(alice, turn.conversation, messages.NewMessage("And?", "t4"), limits=LIMITS)
    personas.delete_persona(kept)


def carry(alice: User) -> None:
    """Everything leaves as a file and comes in again, beside a file that brings something new."""
    for user in (alice, users.get_or_create_by_token("carrier")):
        list(export_markdown.export_archive(user.id, export_markdown.AuthorLabels(user="You", assistant="Assistant")))
        found = import_file(
            user, export_native(alice) if user is not alice else [other_exports.make_claude_conversation()]
        )
        imports.list_recent(user)
        imports.list_results(found, "0")
        imports.list_results(found, None, "skipped")
        imports.cancel(found)
        imports.delete_import(found)


def order(alice: User, name: str) -> None:
    """What is done to keep conversations in order, and how it is undone."""
    chosen = tags.set_tags(alice, conversations.get(alice, name), [], new_name="Work")
    tags.set_tag(alice, [name], tags.create(alice, "Home"))
    [tag, _] = tags.list_for(alice)
    conversations.list_tagged(alice, tag, before="1.1")
    tags.update(tag, "Leisure", "red")
    conversations.set_pinned(alice, [name])
    conversations.list_page(alice, before="p1.1")
    conversations.set_archived(alice, [name])
    conversations.list_archived(alice, before="1.1")
    undo.find_undoable(alice, chosen.public_id)
    undo.undo_change(alice, chosen.public_id)
    undo.undo_change(alice, tags.delete_tag(tag).public_id)
    thrown = trash.move_to_trash(alice, [name])
    trash.list_page(alice, before="1.1")
    undo.undo_change(alice, thrown.public_id)
    trash.move_to_trash(alice, [name])
    trash.purge_due()
    undo.purge_old()
    trash.restore(alice, [name])


def test_no_query_scans_growing_table(app: Flask) -> None:
    with app.app_context():
        with explained() as scans:
            daily_life()
            carry(users.get_or_create_by_token("alice"))
        assert scans == []
        db.session.remove()


def test_scan_detector_reports_scan(app: Flask) -> None:
    """The guard of the test above."""
    with app.app_context():
        with explained() as scans:
            db.session.execute(db.text("SELECT * FROM message WHERE text = 'x'"))
        assert len(scans) == 1
        db.session.remove()


@pytest.mark.parametrize("table", GROWING)
def test_foreign_keys_are_indexed(app: Flask, table: str) -> None:
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


def test_list_queries_use_index_order_without_sorting(app: Flask) -> None:
    """However many conversations there are, a page of them is as many steps of the index as it has rows."""
    with app.app_context():
        alice = users.get_or_create_by_token("alice")
        tag = tags.create(alice, "Work")
        for read in (
            lambda: conversations.list_page(alice),
            lambda: conversations.list_recent(alice, 7),
            lambda: conversations.list_page(alice, before="p1.1"),
            lambda: conversations.list_tagged(alice, tag, before="1.1"),
            lambda: conversations.list_archived(alice, before="1.1"),
            lambda: trash.list_page(alice, before="1.1"),
        ):
            with steps() as found:
                read()
            assert found
            assert not [step for step in found if "SCAN" in step or "TEMP B-TREE" in step], found
        db.session.remove()


def test_search_results_are_loaded_by_primary_key(app: Flask) -> None:
    """Without statistics SQLite would rather read all conversations of the user."""
    with app.app_context():
        alice = users.get_or_create_by_token("alice")
        messages.start_conversation(
            alice, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t1"), limits=LIMITS
        )
        with steps() as found:
            look_for(alice)
        loads = [step for step in found if step.startswith(("SEARCH conversation ", "SEARCH message "))]
        assert loads
        assert all("INTEGER PRIMARY KEY" in step for step in loads), loads
        db.session.remove()
