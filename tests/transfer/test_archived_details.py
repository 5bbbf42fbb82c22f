"""Ratings, projects and other parts of an archive: given to the conversations that they are about, or named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from chatsite.database import db
from chatsite.errors import (
    ChatsiteError,
    NoConversationError,
    NoConversationsInFileError,
    NothingFoundError,
    PartsWithoutConversationsError,
    ProjectPartsError,
    RatingsWithoutAnswerError,
    UnreadableError,
)
from chatsite.models import ImportOutcome, Persona
from chatsite.services.transfer.message_ordering import ImportedConversation
from tests.conftest import People
from tests.support import export_samples as samples
from tests.support import other_exports
from tests.support import transfer_fixtures as t
from tests.support.file_reading import read_file
from tests.support.record_builders import list_texts, make_chatgpt_record, make_claude_record, make_node


def make_chat(**record: Any) -> dict[str, Any]:
    """Return a conversation of ChatGPT with a question and two versions of its answer."""
    question = make_node("q", None, "user", "Name a star.")
    answers = [make_node(key, "q", "assistant", text) for key, text in (("one", "Vega."), ("two", "Deneb."))]
    return make_chatgpt_record(question, *answers, **record)


def make_rating(key: str, rating: object, **more: Any) -> dict[str, Any]:
    """Return a line of ChatGPT's `message_feedback.json`."""
    content = json.dumps({"text": "Too  short", "tags": ["not-helpful"]})
    return {
        "id": key,
        "conversation_id": "c",
        "rating": rating,
        "content": content,
        "workspace_id": None,
        **more,
    }


def make_project(**more: Any) -> dict[str, Any]:
    """Return a project of Claude with instructions, a description and two documents."""
    return {
        "uuid": "p1",
        "name": "Poems",
        "description": "All about verse.",
        "is_starter_project": False,
        "prompt_template": "Answer in verse.",
        "created_at": "2026-01-02T03:04:05.000000+00:00",
        "docs": [{"uuid": "d", "filename": f"{number}.md", "content": "Roses"} for number in range(2)],
        **more,
    }


def read_archive(files: dict[str, Any]) -> tuple[list[ImportedConversation], list[ChatsiteError]]:
    """Read an archive without its personas, which are no conversations."""
    found = read_file(samples.zip_files(files), "export.zip")
    return (
        [each for each in found if isinstance(each, ImportedConversation)],
        [each for each in found if isinstance(each, ChatsiteError) and each != NoConversationError()],
    )


def list_ratings(conversation: ImportedConversation) -> dict[str, tuple[Any, Any]]:
    """Return the rating and the note of each message that has a rating."""
    return {
        message.source_key: (generation["rating"], generation.get("rating_note"))
        for message in conversation.messages
        for generation in message.generations
        if "rating" in generation
    }


@pytest.mark.parametrize(("up", "down"), [("thumbs_up", "thumbs_down"), ("thumbsUp", "thumbsDown"), (1, -1)])
@pytest.mark.parametrize("id_key", ["id", "message_id"])
def test_ratings_of_chatgpt_come_with_their_answers(up: object, down: object, id_key: str) -> None:
    ratings = [make_rating("?", up, **{id_key: "one"}), make_rating("?", down, **{id_key: "two"}, content="{}")]
    files = {"deep/conversations.json": [make_chat()], "deep/message_feedback.json": ratings}
    [talk], reasons = read_archive(files)
    assert list_ratings(talk) == {"one": (1, "Too short"), "two": (-1, None)}
    assert reasons == []


def test_rating_of_no_answer_is_counted() -> None:
    ratings = [
        make_rating("one", "thumbs_up"),
        # The second says what became of the first.
        make_rating("one", "thumbs_down"),
        make_rating("q", "thumbs_up"),
        make_rating("gone", "thumbs_up"),
        make_rating("two", "thumbs_up", conversation_id="other"),
    ]
    files = {"conversations.json": [make_chat(), make_chat()], "message_feedback.json": ratings}
    [talk, _], reasons = read_archive(files)
    assert list_ratings(talk) == {"one": (-1, "Too short")}
    assert reasons == [RatingsWithoutAnswerError(count=3)]


@pytest.mark.parametrize("content", [None, 5, "", "{", "[]", "[" * 20_000, '{"text": ["x"]}'])
def test_damaged_note_leaves_the_rating(content: object) -> None:
    files = {"conversations.json": [make_chat()], "message_feedback.json": [make_rating("one", 1, content=content)]}
    [talk], _ = read_archive(files)
    assert list_ratings(talk) == {"one": (1, None)}


def test_rating_is_stored_and_exported(people: People) -> None:
    archive = {"conversations.json": [make_chat()], "message_feedback.json": [make_rating("two", "thumbs_down")]}
    for _ in range(2):
        t.import_file(people.alice, samples.zip_files(archive), "export.zip")
        assert '"rating": -1, "rating_note": "Too short"' in t.export_native(people.alice)


@pytest.mark.parametrize("path", ["projects.json", "projects/p1.json"])
@pytest.mark.parametrize("link", [{"project": {"uuid": "p1", "name": "Poems"}}, {"project_uuid": "p1"}])
def test_instructions_of_a_project_come_with_its_conversations(path: str, link: dict[str, Any]) -> None:
    project = make_project() if "/" in path else [make_project()]
    talks = [make_claude_record({"text": "Q"}, **link), make_claude_record({"text": "Q"}, uuid="k2")]
    found, reasons = read_archive({"conversations.json": talks, path: project})
    assert [each.values["instructions"] for each in found] == ["Answer in verse.", None]
    assert [each.tags for each in found] == [["Poems"], []]
    assert reasons == [ProjectPartsError(documents=2, descriptions=1, names="Poems")]


def test_project_with_nothing_else_is_not_named() -> None:
    projects = [
        make_project(docs=[], description=""),
        make_project(uuid="p2", is_starter_project=True),
        make_project(uuid=None),
        make_project(uuid="p3", name="", prompt_template=""),
    ]
    _, reasons = read_archive({"conversations.json": [make_claude_record({"text": "Q"})], "projects.json": projects})
    assert reasons == [ProjectPartsError(documents=2, descriptions=1, names="Projects")]


def test_project_becomes_one_persona(people: People) -> None:
    files = {
        "conversations.json": [other_exports.make_claude_conversation()],
        "projects.json": [make_project(), make_project(uuid="p2", prompt_template=" ")],
    }
    for _ in range(2):
        job = t.import_file(people.alice, samples.zip_files(files), "export.zip")
        [persona] = db.session.scalars(select(Persona).where(Persona.user_id == people.alice.id)).all()
        assert (persona.name, persona.instructions) == ("Poems", "Answer in verse.")
        assert t.list_outcomes(job)[-1][:2] == ("Projects", ImportOutcome.SKIPPED)
    first = t.export_native(people.alice)
    t.import_file(people.alice, first)
    assert t.export_native(people.alice) == first


def test_other_files_are_named_unless_they_are_empty() -> None:
    files = {
        "conversations.json": [make_chat()],
        "export_manifest.json": {"version": 2},
        "message_feedback.json": [],
        "shared_conversations.json": [{"id": "s", "conversation_id": "c", "title": "T"}],
        "conversation_asset_file_names.json": {"file-1.dat": "a.png"},
        "user.json": {"id": "u", "email": "e"},
        "chat.html": b"<html>ChatGPT",
    }
    found, reasons = read_archive(files)
    assert list_texts(found[0]) == ["Name a star.", "Deneb."]
    names = "export_manifest.json, shared_conversations.json, user.json"
    assert reasons == [PartsWithoutConversationsError(count=3, names=names)]


def test_other_lists_beside_conversations_are_named() -> None:
    [talk, reason] = read_file({"before": [{"x": 1}, {"x": {"y": 2}}], **samples.grok_export()})
    assert isinstance(talk, ImportedConversation)
    names = "before (2), projects (1), media_posts (1)"
    assert reason == PartsWithoutConversationsError(count=3, names=names)
    [talk, reason] = read_file({"chats": [make_chat()], "folders": [{"name": "F"}], "version": 1, "names": ["x"]})
    assert isinstance(talk, ImportedConversation)
    assert reason == PartsWithoutConversationsError(count=1, names="folders (1)")


def test_message_with_a_rating_is_a_message() -> None:
    turns = [
        {"conversation_id": "c", "role": role, "content": text, "rating": 1}
        for role, text in (("user", "Q"), ("assistant", "A"))
    ]
    [talk] = read_file(samples.to_lines(*turns), "turns.jsonl")
    assert isinstance(talk, ImportedConversation)
    assert list_texts(talk) == ["Q", "A"]


def test_lists_of_a_conversation_are_its_own() -> None:
    [talk] = read_file({"id": "x", "files": [{"a": 1}], "messages": samples.OPENAI_MESSAGES})
    assert isinstance(talk, ImportedConversation)


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("message_feedback.json", [make_rating("one", 1)], NoConversationsInFileError),
        ("ratings.json", [make_rating("one", 1)], NothingFoundError),
        ("projects.json", [make_project()], NoConversationsInFileError),
        ("p1.json", make_project(), NoConversationsInFileError),
    ],
)
def test_details_without_conversations_are_refused(name: str, data: object, error: type[UnreadableError]) -> None:
    with pytest.raises(error):
        read_file(data, name)
