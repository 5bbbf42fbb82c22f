"""A conversation that went on elsewhere: what is new comes in, and what was changed here stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import update

from chatsite.database import db, utcnow, write_transaction
from chatsite.models import Conversation, ImportOutcome, ImportState, Message, User
from chatsite.services.chat import conversations, messages
from chatsite.services.organize import tags, trash
from chatsite.services.transfer import import_store, imports
from tests.conftest import LIMITS, People
from tests.support import transfer_fixtures as t
from tests.support.record_builders import (
    Node,
    make_chatgpt_record,
    make_claude_record,
    make_node,
    make_openwebui_record,
)

ONE_DATABASE = pytest.mark.parametrize("any_app", ["sqlite"], indirect=True)

FIRST = [make_node("u", None, "user", "One", create_time=1), make_node("a", "u", "assistant", "Two", create_time=2)]
MORE = [make_node("u2", "a", "user", "Three", create_time=3), make_node("a2", "u2", "assistant", "Four", create_time=4)]


def grow(user: User, *nodes: Node, **record: Any) -> tuple[ImportOutcome, int]:
    """Import the conversation with these nodes; return the outcome and how many messages came in."""
    found = t.import_file(user, [make_chatgpt_record(*nodes, **record)])
    [(note, _)] = imports.list_results(found).items
    assert found.message_count == note.message_count
    return note.outcome, note.message_count


def branches(conversation: Conversation) -> dict[str, str | None]:
    """Return the text of the message above each message, by its text; the messages have different texts."""
    rows = t.list_messages(conversation)
    texts = {row.id: row.text for row in rows}
    for parent in {row.parent_id for row in rows}:
        assert sum(row.is_active for row in rows if row.parent_id == parent) == 1
    return {row.text: texts[row.parent_id] if row.parent_id else None for row in rows}


def test_new_messages_follow_the_known_ones(people: People) -> None:
    assert grow(people.alice, *FIRST, update_time=5) == (ImportOutcome.IMPORTED, 2)
    assert grow(people.alice, *FIRST, *MORE, update_time=9, title="Other") == (ImportOutcome.UPDATED, 2)
    [conversation] = t.list_conversations(people.alice)
    assert t.list_shown_texts(conversation) == ["One", "Two", "Three", "Four"]
    assert (conversation.title, conversation.updated_at.timestamp()) == ("T", 9)
    assert conversation.active_leaf_id == t.list_messages(conversation)[-1].id
    before = t.export_native(people.alice)
    assert grow(people.alice, *FIRST, *MORE, update_time=9) == (ImportOutcome.DUPLICATE, 0)
    assert grow(people.alice, *FIRST) == (ImportOutcome.DUPLICATE, 0)
    assert t.export_native(people.alice) == before


def test_new_branch_is_another_version_and_the_shown_one_stays(people: People) -> None:
    other = [
        make_node("a3", "u", "assistant", "Again", create_time=5),
        make_node("u4", "a3", "user", "So", create_time=6),
    ]
    grow(people.alice, *FIRST, *MORE)
    grow(people.bob, *FIRST, *MORE)
    [mine], [theirs] = t.list_conversations(people.alice), t.list_conversations(people.bob)
    messages.post_message(people.bob, theirs, messages.NewMessage("Here", "k"), limits=LIMITS)
    t.finish_answers("Mine")
    for user in (people.alice, people.bob):
        assert grow(user, *FIRST, *MORE, *other) == (ImportOutcome.UPDATED, 2)
    assert t.list_shown_texts(t.list_conversations(people.alice)[0]) == ["One", "Two", "Three", "Four"]
    assert t.list_shown_texts(t.list_conversations(people.bob)[0]) == ["One", "Two", "Three", "Four", "Here", "Mine"]
    assert branches(theirs) == branches(mine) | {"Here": "Four", "Mine": "Here"}
    # The file goes on where the person went on too: both are there, as versions.
    assert grow(people.bob, *FIRST, *MORE, make_node("u5", "a2", "user", "Five")) == (ImportOutcome.UPDATED, 1)
    assert branches(theirs)["Five"] == "Four"
    assert t.list_shown_texts(t.list_conversations(people.bob)[0])[-1] == "Mine"


def test_changes_made_here_are_respected(people: People) -> None:
    grow(people.alice, *FIRST)
    [conversation] = t.list_conversations(people.alice)
    conversations.rename(conversation, "My name")
    tags.set_tag(people.alice, [conversation.public_id], tags.create(people.alice, "mine", "teal"))
    question = t.list_messages(conversation)[0]
    messages.edit_question(people.alice, question, messages.NewMessage("Edited", "k"), limits=LIMITS)
    t.finish_answers("Answer")
    assert grow(people.alice, *FIRST, *MORE, title="Theirs") == (ImportOutcome.UPDATED, 2)
    [conversation] = t.list_conversations(people.alice)
    assert conversation.title == "My name"
    assert t.list_shown_texts(conversation) == ["Edited", "Answer"]
    assert branches(conversation)["Three"] == "Two"


@ONE_DATABASE
def test_nothing_is_added_to_the_trash(people: People) -> None:
    grow(people.alice, *FIRST)
    trash.move_to_trash(people.alice, [t.list_conversations(people.alice)[0].public_id])
    assert grow(people.alice, *FIRST, *MORE) == (ImportOutcome.DUPLICATE, 0)
    [conversation] = t.list_conversations(people.alice)
    assert (len(t.list_messages(conversation)), conversation.deleted_at is not None) == (2, True)
    # Nor is anything said to be missing in it.
    between = make_node("b", "u", "assistant", "Between")
    found = t.import_file(
        people.alice, [make_chatgpt_record(FIRST[0], between, make_node("a", "b", "assistant", "Two"))]
    )
    assert [note.omitted for note, _ in imports.list_results(found).items] == [None]


def test_long_conversation_grows_in_several_writes(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_store, "BATCH_SIZE", 3)
    monkeypatch.setattr("chatsite.runner.import_job.INITIAL_WEIGHT", 2)
    nodes = [
        make_node(f"n{n}", f"n{n - 1}" if n else None, "assistant" if n % 2 else "user", f"{n}") for n in range(12)
    ]
    side = [make_node(f"s{n}", f"s{n - 1}" if n else "n2", "user", f"s{n}") for n in range(4)]
    assert grow(people.alice, *nodes[:4]) == (ImportOutcome.IMPORTED, 4)
    assert grow(people.alice, *nodes, *side, current_node="n11") == (ImportOutcome.UPDATED, 12)
    [conversation] = t.list_conversations(people.alice)
    assert t.list_shown_texts(conversation) == [f"{n}" for n in range(12)]
    assert branches(conversation)["s3"] == "s2"
    before = t.export_native(people.alice)
    assert grow(people.alice, *nodes, *side, current_node="n11") == (ImportOutcome.DUPLICATE, 0)
    assert t.export_native(people.alice) == before


@ONE_DATABASE
def test_conversation_that_is_twice_in_a_file_comes_in_whole(people: People) -> None:
    found = t.import_file(people.alice, [make_chatgpt_record(*FIRST), make_chatgpt_record(*FIRST, *MORE)])
    assert (found.imported_count, found.updated_count, found.message_count) == (1, 1, 4)
    assert len(t.list_messages(t.list_conversations(people.alice)[0])) == 4


@ONE_DATABASE
def test_messages_between_known_ones_are_counted_and_not_added(people: People) -> None:
    """An older version left out answers that are read now; what follows them has a parent already."""
    grow(people.alice, FIRST[0], MORE[0], MORE[1])
    found = t.import_file(people.alice, [make_chatgpt_record(*FIRST, *MORE, make_node("u3", "a", "user", "Five"))])
    [(note, _)] = imports.list_results(found).items
    assert (note.outcome, note.message_count, note.omitted) == (ImportOutcome.UPDATED, 1, {"between": 1})
    assert branches(t.list_conversations(people.alice)[0])["Five"] == "One"
    found = t.import_file(people.alice, [make_chatgpt_record(*FIRST, *MORE)])
    [(note, _)] = imports.list_results(found).items
    assert (note.outcome, note.omitted) == (ImportOutcome.DUPLICATE, {"between": 1})


@ONE_DATABASE
def test_messages_without_ids_are_recognized(people: People) -> None:
    turns: list[dict[str, Any]] = [{"uuid": None, "text": "Q"}, {"uuid": None, "text": "A"}]
    t.import_file(people.alice, [make_claude_record(*turns)])
    assert t.import_file(people.alice, [make_claude_record(*turns)]).duplicate_count == 1
    # Earlier versions stored no origin for them.
    with write_transaction() as tx:
        tx.execute(update(Message).values(import_source_id=None))
    assert t.import_file(people.alice, [make_claude_record(*turns)]).duplicate_count == 1
    found = t.import_file(people.alice, [make_claude_record(*turns, {"uuid": None, "text": "Q2"})])
    assert (found.updated_count, found.message_count) == (1, 1)
    assert t.list_shown_texts(t.list_conversations(people.alice)[0]) == ["Q", "A", "Q2"]
    # Their numbers say nothing: what is first now was not there before.
    found = t.import_file(people.alice, [make_claude_record({"uuid": None, "text": "Q0"}, *turns[:1])])
    assert found.message_count == 2


@ONE_DATABASE
def test_comparison_ends_when_it_was_continued(people: People) -> None:
    turns: list[dict[str, Any]] = [{"content": "Q", "models": ["a", "b"]}, {"content": "A", "model": "a"}]
    turns.append({"content": "B", "model": "b", "parentId": "n0", "role": "assistant"})
    t.import_file(people.alice, [make_openwebui_record(*turns)])
    assert [message.in_comparison for message in t.list_messages(t.list_conversations(people.alice)[0])][1:] == [
        True
    ] * 2
    turns.append({"content": "Why?", "parentId": "n2", "role": "user"})
    assert t.import_file(people.alice, [make_openwebui_record(*turns)]).updated_count == 1
    [conversation] = t.list_conversations(people.alice)
    assert not any(message.in_comparison for message in t.list_messages(conversation))
    assert t.list_shown_texts(conversation) == ["Q", "B", "Why?"]


def test_own_exports_grow_too(people: People) -> None:
    first = messages.start_conversation(
        people.alice, messages.NewConversation("One"), messages.NewMessage("One", "t1"), limits=LIMITS
    )
    t.finish_answers("Two")
    t.import_file(people.bob, t.export_native(people.alice))
    messages.post_message(people.alice, first.conversation, messages.NewMessage("Three", "t2"), limits=LIMITS)
    t.finish_answers("Four")
    export = t.export_native(people.alice)
    found = t.import_file(people.bob, export)
    assert (found.updated_count, found.message_count) == (1, 2)
    [copy] = t.list_conversations(people.bob)
    assert t.list_shown_texts(copy) == ["One", "Two", "Three", "Four"]
    before = t.export_native(people.bob)
    for data in (export, before):
        assert t.import_file(people.bob, data).duplicate_count == 1
    assert t.export_native(people.bob) == before
    # The one that it was made from gets nothing from its own past.
    assert t.import_file(people.alice, export).duplicate_count == 1


def test_conflict_while_adding_is_reported(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(people.alice, *FIRST)
    [conversation] = t.list_conversations(people.alice)
    taken = json.loads(t.export_native(people.alice))["conversations"][0]["messages"][0]["id"]
    # Somebody else's message has the id that the next one would get.
    monkeypatch.setattr(import_store, "new_public_id", lambda: taken)
    found = t.import_file(people.alice, [make_chatgpt_record(*FIRST, *MORE)])
    assert (found.state, found.skipped_count) == (ImportState.DONE, 1)
    assert len(t.list_messages(conversation)) == 2
    monkeypatch.undo()
    assert grow(people.alice, *FIRST, *MORE) == (ImportOutcome.UPDATED, 2)


@ONE_DATABASE
def test_temporary_chat_is_left_alone(people: People) -> None:
    grow(people.alice, *FIRST)
    with write_transaction():
        db.session.execute(update(Conversation).values(expires_at=utcnow() + conversations.TEMPORARY_LIFETIME))
    assert grow(people.alice, *FIRST, *MORE) == (ImportOutcome.DUPLICATE, 0)
