"""What goes out comes in again, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from flask import Flask
from sqlalchemy import delete, func, select

from chatsite.database import db, utcnow, write_transaction
from chatsite.models import Conversation, ImportOutcome, ImportState, Message, Persona, Status, Tag
from chatsite.services.chat import conversations, message_pages, messages, temporary
from chatsite.services.organize import trash
from chatsite.services.transfer.exports import export_markdown
from chatsite.services.transfer.exports.export_markdown import AuthorLabels
from chatsite.settings import ROOT
from tests.conftest import LIMITS, People
from tests.support import transfer_fixtures as t

SCHEMA = json.loads((ROOT / "docs" / "export-format.schema.json").read_text())


# What does not depend on the database is tested with one.
ONE_DATABASE = pytest.mark.parametrize("any_app", ["sqlite"], indirect=True)


def empty_the_site() -> None:
    """As if nothing had ever been here."""
    with write_transaction() as session:
        for model in (Conversation, Tag, Persona):
            session.execute(delete(model))


def test_export_round_trip_is_byte_identical(people: People) -> None:
    t.create_history(people.alice)
    first = t.export_native(people.alice)
    empty_the_site()
    found = t.import_file(people.alice, first)
    assert (found.state, found.imported_count, found.error) == (ImportState.DONE, 2, None)
    assert t.export_native(people.alice) == first
    # Receipts, ratings and runs of every answer are in it.
    assert '"rating": -1, "rating_note": "too short", "receipt": {"model": "scripted"' in first
    assert '"status": "failed"' in first


def test_importing_twice_changes_nothing(people: People) -> None:
    t.create_history(people.alice)
    first = t.export_native(people.alice)
    found = t.import_file(people.alice, first)
    assert (found.imported_count, found.duplicate_count, found.skipped_count) == (0, 2, 0)
    assert t.export_native(people.alice) == first


def test_import_by_other_user_gets_new_ids_once(people: People) -> None:
    t.create_history(people.alice)
    first = t.export_native(people.alice)
    assert t.import_file(people.bob, first).imported_count == 2
    assert t.export_native(people.alice) == first
    theirs, copies = t.list_conversations(people.alice), t.list_conversations(people.bob)
    assert not {talk.public_id for talk in theirs} & {talk.public_id for talk in copies}
    assert [talk.import_source_id for talk in copies] == [f"chatsite:{talk.public_id}" for talk in theirs]
    assert [m.import_source_id for m in t.list_messages(copies[1])] == [m.public_id for m in t.list_messages(theirs[1])]
    assert t.list_shown_texts(copies[1]) == t.list_shown_texts(theirs[1]) == ["Hello", "Hello yourself", "More", "More"]
    second = t.export_native(people.bob)
    assert t.import_file(people.bob, first).duplicate_count == 2
    assert t.import_file(people.bob, second).duplicate_count == 2
    assert t.export_native(people.bob) == second


def test_import_keeps_shown_branch(people: People) -> None:
    t.create_history(people.alice)
    data = t.export_native(people.alice)
    empty_the_site()
    t.import_file(people.alice, data)
    for talk in t.list_conversations(people.alice):
        rows = t.list_messages(talk)
        parents = [row.parent_id for row in rows]
        assert all(sum(row.is_active for row in rows if row.parent_id == parent) == 1 for parent in parents)
        assert talk.active_leaf_id == message_pages.page_before(talk).messages[-1].id
    turn = messages.post_message(
        people.alice, t.list_conversations(people.alice)[1], messages.NewMessage("Next", "t9"), limits=LIMITS
    )
    assert t.list_shown_texts(turn.conversation)[-2] == "Next"


@ONE_DATABASE
def test_single_conversation_export_has_only_its_tags(people: People) -> None:
    t.create_history(people.alice)
    second = t.list_conversations(people.alice)[1]
    alone = json.loads(t.export_native(people.alice, second.id))
    assert [each["id"] for each in alone["conversations"]] == [second.public_id]
    assert [tag["name"] for tag in alone["tags"]] == ["Año nuevo"]
    assert alone["personas"] == []
    empty_the_site()
    t.import_file(people.alice, json.dumps(alone))
    assert json.loads(t.export_native(people.alice, t.list_conversations(people.alice)[0].id)) == alone


@ONE_DATABASE
def test_export_excludes_other_users_conversations(people: People) -> None:
    t.create_history(people.alice)
    assert json.loads(t.export_native(people.bob)) == {
        "format": "chatsite-export",
        "version": 1,
        "tags": [],
        "personas": [],
        "conversations": [],
    }
    assert json.loads(t.export_native(people.bob, t.list_conversations(people.alice)[0].id))["conversations"] == []


@ONE_DATABASE
def test_export_matches_schema(people: People) -> None:
    t.create_history(people.alice)
    exported = json.loads(t.export_native(people.alice))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(exported, SCHEMA)
    exported["conversations"][0]["messages"][0]["surprise"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(exported, SCHEMA)


def test_running_answer_is_exported_as_interrupted(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("Slow"), messages.NewMessage("Slow", "t1"), limits=LIMITS
    )
    waiting = t.export_native(people.alice)
    [run] = json.loads(waiting)["conversations"][0]["messages"][1]["generations"]
    assert run["status"] == Status.INTERRUPTED.value
    [claim] = t.generation_leases.claim("runner", 1, 60, max_attempts=2)
    assert t.export_native(people.alice) == waiting
    for text in ("What is ", "written so far"):
        update = t.GenerationUpdate(claim.attempts, text=text, new_tokens=2)
        t.generation_leases.heartbeat("runner", {claim.generation_id: update}, 60)
    labels = AuthorLabels("You", "Assistant")
    conversation_id = turn.conversation.id
    markdown = "".join(export_markdown.export_conversation(people.alice.id, labels, conversation_id))
    assert "\n\nWhat is written so far\n" in markdown
    t.import_file(people.bob, t.export_native(people.alice))
    [copy] = t.list_conversations(people.bob)
    assert t.list_messages(copy)[1].status is Status.INTERRUPTED
    assert t.list_messages(copy)[1].text == "What is written so far"
    assert turn.conversation.public_id != copy.public_id


@ONE_DATABASE
def test_trash_and_temporary_chats_are_not_exported(people: People) -> None:
    thrown = messages.start_conversation(
        people.alice, messages.NewConversation("Thrown"), messages.NewMessage("Thrown", "t1"), limits=LIMITS
    ).conversation
    passing = messages.start_conversation(
        people.alice, messages.NewConversation("Passing"), messages.NewMessage("Passing", "t2"), limits=LIMITS
    ).conversation
    trash.move_to_trash(people.alice, [thrown.public_id])
    with write_transaction():
        db.session.get_one(Conversation, passing.id).expires_at = utcnow() + conversations.TEMPORARY_LIFETIME
    assert json.loads(t.export_native(people.alice))["conversations"] == []
    assert b"Passing" not in b"".join(export_markdown.export_archive(people.alice.id, AuthorLabels("You", "Assistant")))
    temporary.make_permanent(db.session.get_one(Conversation, passing.id))
    assert len(json.loads(t.export_native(people.alice))["conversations"]) == 1


def test_long_conversation_is_imported_in_batches(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatsite.services.transfer.import_store.BATCH_SIZE", 3)
    monkeypatch.setattr("chatsite.runner.import_job.INITIAL_WEIGHT", 2)
    t.create_history(people.alice)
    data = t.export_native(people.alice)
    empty_the_site()
    found = t.import_file(people.alice, data)
    assert found.imported_count == 2
    assert t.export_native(people.alice) == data
    assert db.session.scalar(select(func.count()).where(Conversation.expires_at.is_not(None))) == 0


@ONE_DATABASE
def test_newer_format_version_is_rejected(people: People) -> None:
    found = t.import_file(people.alice, '{"format": "chatsite-export", "version": 2, "conversations": [{"id": "x"}]}')
    assert found.state is ImportState.FAILED
    assert "newer version" in str(found.error)


@ONE_DATABASE
def test_documented_example_imports_and_exports_identically(any_app: Flask, people: People) -> None:
    text = (Path(ROOT) / "docs" / "export-format.md").read_text()
    example = text.partition("```json\n")[2].partition("```")[0]
    jsonschema.validate(json.loads(example), SCHEMA)
    found = t.import_file(people.alice, example)
    assert t.list_outcomes(found) == [("A title", ImportOutcome.IMPORTED, None)]
    assert t.export_native(people.alice) == example
    assert db.session.scalar(select(func.count(Message.id))) == 2
