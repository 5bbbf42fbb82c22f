"""What goes out comes in again, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from flask import Flask
from sqlalchemy import delete, func, select

from chatsite.config import ROOT
from chatsite.database import db, now, write
from chatsite.models import Conversation, ImportState, Message, Outcome, Persona, Status, Tag
from chatsite.services import conversations, messages, temporary, trash, windows
from chatsite.services.transfer import markdown
from tests.conftest import LIMITS, People
from tests.services import transferring as t

SCHEMA = json.loads((ROOT / "docs" / "export-format.schema.json").read_text())


# What does not depend on the database is tested with one.
ONE_DATABASE = pytest.mark.parametrize("any_app", ["sqlite"], indirect=True)


def empty_the_site() -> None:
    """As if nothing had ever been here."""
    with write() as session:
        for model in (Conversation, Tag, Persona):
            session.execute(delete(model))


def test_export_import_export_is_the_same_bytes(people: People) -> None:
    t.life(people.alice)
    first = t.export(people.alice)
    empty_the_site()
    found = t.bring(people.alice, first)
    assert (found.state, found.imported, found.error) == (ImportState.DONE, 2, None)
    assert t.export(people.alice) == first
    # Receipts, ratings and runs of every answer are in it.
    assert '"rating": -1, "rating_note": "too short", "receipt": {"model": "scripted"' in first
    assert '"status": "failed"' in first


def test_importing_twice_changes_nothing(people: People) -> None:
    t.life(people.alice)
    first = t.export(people.alice)
    found = t.bring(people.alice, first)
    assert (found.imported, found.present, found.skipped) == (0, 2, 0)
    assert t.export(people.alice) == first


def test_what_somebody_else_has_gets_ids_of_its_own_and_is_not_stored_twice(people: People) -> None:
    t.life(people.alice)
    first = t.export(people.alice)
    assert t.bring(people.bob, first).imported == 2
    assert t.export(people.alice) == first
    theirs, copies = t.talks(people.alice), t.talks(people.bob)
    assert not {talk.public_id for talk in theirs} & {talk.public_id for talk in copies}
    assert [talk.origin for talk in copies] == [f"chatsite:{talk.public_id}" for talk in theirs]
    assert [m.origin for m in t.said(copies[1])] == [m.public_id for m in t.said(theirs[1])]
    assert t.shown(copies[1]) == t.shown(theirs[1]) == ["Hello", "Hello yourself", "More", "More"]
    second = t.export(people.bob)
    assert t.bring(people.bob, first).present == 2
    assert t.bring(people.bob, second).present == 2
    assert t.export(people.bob) == second


def test_the_branch_that_was_shown_is_shown_and_goes_on(people: People) -> None:
    t.life(people.alice)
    data = t.export(people.alice)
    empty_the_site()
    t.bring(people.alice, data)
    for talk in t.talks(people.alice):
        rows = t.said(talk)
        parents = [row.parent_id for row in rows]
        assert all(sum(row.shown for row in rows if row.parent_id == parent) == 1 for parent in parents)
        assert talk.leaf_id == windows.until(talk).messages[-1].id
    turn = messages.post(people.alice, t.talks(people.alice)[1], "Next", "t9", LIMITS)
    assert t.shown(turn.conversation)[-2] == "Next"


@ONE_DATABASE
def test_one_conversation_has_its_own_tags_and_nothing_else(people: People) -> None:
    t.life(people.alice)
    second = t.talks(people.alice)[1]
    alone = json.loads(t.export(people.alice, second.id))
    assert [each["id"] for each in alone["conversations"]] == [second.public_id]
    assert [tag["name"] for tag in alone["tags"]] == ["Año nuevo"]
    assert alone["personas"] == []
    empty_the_site()
    t.bring(people.alice, json.dumps(alone))
    assert json.loads(t.export(people.alice, t.talks(people.alice)[0].id)) == alone


@ONE_DATABASE
def test_an_export_of_nobody_elses(people: People) -> None:
    t.life(people.alice)
    assert json.loads(t.export(people.bob)) == {
        "format": "chatsite-export",
        "version": 1,
        "tags": [],
        "personas": [],
        "conversations": [],
    }
    assert json.loads(t.export(people.bob, t.talks(people.alice)[0].id))["conversations"] == []


@ONE_DATABASE
def test_every_export_is_what_the_schema_says(people: People) -> None:
    t.life(people.alice)
    exported = json.loads(t.export(people.alice))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(exported, SCHEMA)
    exported["conversations"][0]["messages"][0]["surprise"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(exported, SCHEMA)


def test_an_answer_that_is_being_written_is_exported_as_interrupted(people: People) -> None:
    turn = messages.start(people.alice, "Slow", "t1", "Slow", LIMITS)
    waiting = t.export(people.alice)
    [run] = json.loads(waiting)["conversations"][0]["messages"][1]["generations"]
    assert run["status"] == Status.INTERRUPTED.value
    t.claims.claim("runner", 1, 60, 2)
    assert t.export(people.alice) == waiting
    t.bring(people.bob, waiting)
    [copy] = t.talks(people.bob)
    assert t.said(copy)[1].status is Status.INTERRUPTED
    assert turn.conversation.public_id != copy.public_id


@ONE_DATABASE
def test_trash_and_temporary_chats_are_not_exported(people: People) -> None:
    thrown = messages.start(people.alice, "Thrown", "t1", "Thrown", LIMITS).conversation
    passing = messages.start(people.alice, "Passing", "t2", "Passing", LIMITS).conversation
    trash.throw(people.alice, [thrown.public_id])
    with write():
        db.session.get_one(Conversation, passing.id).expires_at = now() + conversations.LIFE
    assert json.loads(t.export(people.alice))["conversations"] == []
    assert "".join(markdown.export(people.alice.id, "You")) == ""
    temporary.keep(db.session.get_one(Conversation, passing.id))
    assert len(json.loads(t.export(people.alice))["conversations"]) == 1


@ONE_DATABASE
def test_markdown_has_the_branch_that_is_shown(people: People) -> None:
    t.life(people.alice)
    text = "".join(markdown.export(people.alice.id, "You"))
    assert text.startswith("# Time & <time>\n\n")
    assert text.count("\n---\n") == 1
    assert "## You\n\nHello\n\n## chatsite\n\nHello yourself\n" in text
    assert "> Speak in verse.\n> Be brief.\n" in text
    assert "#Año-nuevo" in text
    assert "\nHi\n" not in text


def test_a_long_conversation_is_stored_in_steps_and_whole(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatsite.services.transfer.storing.BATCH", 3)
    monkeypatch.setattr("chatsite.runner.bringing.FIRST", 2)
    t.life(people.alice)
    data = t.export(people.alice)
    empty_the_site()
    found = t.bring(people.alice, data)
    assert found.imported == 2
    assert t.export(people.alice) == data
    assert db.session.scalar(select(func.count()).where(Conversation.expires_at.is_not(None))) == 0


@ONE_DATABASE
def test_a_file_of_a_newer_version_is_refused(people: People) -> None:
    found = t.bring(people.alice, '{"format": "chatsite-export", "version": 2, "conversations": [{"id": "x"}]}')
    assert found.state is ImportState.FAILED
    assert "newer version" in (found.error or "")


@ONE_DATABASE
def test_the_documents_example_is_one(any_app: Flask, people: People) -> None:
    text = (Path(ROOT) / "docs" / "export-format.md").read_text()
    example = text.partition("```json\n")[2].partition("```")[0]
    jsonschema.validate(json.loads(example), SCHEMA)
    found = t.bring(people.alice, example)
    assert t.report(found) == [("A title", Outcome.IMPORTED, None)]
    assert t.export(people.alice) == example
    assert db.session.scalar(select(func.count(Message.id))) == 2
