"""What an import cuts off at a limit is counted, and the report says it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatsite.errors import BeyondLimitError, ConversationFullError, InstructionsCutError
from chatsite.models import ImportOutcome
from chatsite.models.persona import MAX_PERSONAS
from chatsite.runner import import_job
from chatsite.services.chat import message_tree, messages
from chatsite.services.chat.chat_settings import MAX_INSTRUCTIONS_CHARS
from chatsite.services.organize import tags
from chatsite.services.personas import personas
from chatsite.services.transfer import imports
from chatsite.services.transfer.content import reasoning
from chatsite.services.transfer.content.feedback import MAX_NOTE_CHARS
from chatsite.services.transfer.files import archived_details
from chatsite.services.transfer.formats import detect, librechat, native, sillytavern
from chatsite.services.transfer.records import Record
from tests.conftest import LIMITS, People
from tests.support import export_samples as samples
from tests.support import transfer_fixtures as t
from tests.support.file_reading import read_file, read_one
from tests.support.record_builders import (
    list_omitted,
    list_texts,
    make_chatgpt_record,
    make_claude_record,
    make_node,
    make_openwebui_record,
    parse,
)

ONE_DATABASE = pytest.mark.parametrize("any_app", ["sqlite"], indirect=True)
LONG = "x" * (MAX_INSTRUCTIONS_CHARS + 50)
NAMES = [f"tag {number}" for number in range(tags.MAX_TAGS + 7)]
CONVERSATION_ID = "c" * 16
MESSAGE = {"id": "m" * 16, "role": "user", "text": "Q", "parent": None, "shown": True}


def make_native_record(**values: Any) -> dict[str, Any]:
    """Return a conversation of this site's own export, with one question."""
    return {"id": CONVERSATION_ID, "title": "T", "messages": [MESSAGE], **values}


def parse_native(**values: Any) -> Any:
    """Return what is imported of a conversation of this site's own export."""
    return detect.parse_record(Record("conversations", make_native_record(**values), 0))


def make_note(instructions: str, names: list[str]) -> bytes:
    """Return a Markdown export of this site."""
    lines = ["---", f"id: {CONVERSATION_ID}", "tags:", *(f"  - {name}" for name in names), "---", "# T", ""]
    marker = json.dumps({"id": "m" * 16, "role": "user"})
    return "\n".join([*lines, f"> {instructions}", "", f"<!-- message {marker} -->", "## You", "", "Q"]).encode()


def test_characters_cut_off_instructions_are_counted() -> None:
    about = {"user_context_message_data": {"about_model_message": LONG}}
    context = make_node("0", None, "user", content={"content_type": "user_editable_context"}, metadata=about)
    question = {"messageId": "1", "text": "Q"}
    turns = [{"role": "system", "content": LONG}, {"role": "user", "content": "Q"}]
    talks = [
        parse(make_claude_record({"text": "Q"}, project={"prompt_template": LONG})),
        parse(make_chatgpt_record(context, make_node("1", "0", "user", "Q"))),
        parse(make_openwebui_record({"content": "Q"}, chat={"params": {"system": LONG}})),
        parse({"conversationId": "l", "options": {"promptPrefix": LONG}, "messages": [question]}),
        parse({"messages": turns}),
        parse_native(instructions=LONG),
        read_one(make_note(LONG, []), "x.md"),
    ]
    assert [len(talk.values["instructions"]) for talk in talks] == [MAX_INSTRUCTIONS_CHARS] * len(talks)
    assert [list_omitted(talk) for talk in talks] == [{"instructions": 50}] * len(talks)


def test_tags_beyond_those_that_a_user_may_have_are_counted() -> None:
    options = {"tags": NAMES}
    talks = [
        parse(make_openwebui_record({"content": "Q"}, meta=options)),
        parse({"conversationId": "l", "options": options, "messages": [{"messageId": "1", "text": "Q"}]}),
        parse_native(tags=NAMES),
        # Properties have at most 200 lines.
        read_one(make_note("Be brief.", []).replace(b"tags:", f"tags: [{', '.join(NAMES)}]".encode()), "x.md"),
    ]
    assert [talk.tags for talk in talks] == [NAMES[: tags.MAX_TAGS]] * len(talks)
    assert [list_omitted(talk) for talk in talks] == [{"tag": 7}] * len(talks)


def test_sources_beyond_the_limit_are_counted() -> None:
    pages = [{"title": "P", "url": f"https://example.com/{number}"} for number in range(103)]
    # One without an address is no source, and one that comes twice is one source.
    cited = [{}, *pages, pages[0]]
    response = {"_id": "1", "message": "A", "sender": "ASSISTANT", "cited_web_search_results": cited}
    sources = [{"source": {"id": page["url"], "name": page["url"]}} for page in pages]
    talks = [
        parse({"conversation": {"id": "g"}, "responses": [{"response": response}]}),
        parse(make_openwebui_record({"content": "Q"}, {"content": "A", "sources": sources})),
    ]
    assert [list_texts(talk)[-1].count("example.com/") for talk in talks] == [100, 200]
    assert [list_omitted(talk) for talk in talks] == [{"source": 3}] * 2


def test_messages_of_librechat_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = {"conversationId": "l", "messages": [{"messageId": str(number), "text": "x"} for number in range(9)]}
    nested = samples.nested_librechat(9)
    monkeypatch.setattr(librechat, "MAX_MESSAGES", 9)
    assert [list_omitted(parse(record)) for record in (flat, nested)] == [{}] * 2
    monkeypatch.setattr(librechat, "MAX_MESSAGES", 5)
    talks = [parse(record) for record in (flat, nested)]
    assert [len(talk.messages) for talk in talks] == [5] * 2
    assert [list_omitted(talk) for talk in talks] == [{"message": 4}] * 2


@pytest.mark.parametrize(("shown", "kept"), [(0, "012"), (2, "012"), (5, "345"), (6, "456")])
def test_versions_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch, shown: int, kept: str) -> None:
    """The one that is shown is never among them."""
    monkeypatch.setattr(sillytavern, "MAX_SWIPES", 3)
    swipes = list("0123456")
    files = [{"extra": {"file": {"name": f"{version}.txt"}}} for version in swipes]
    line = {"is_user": False, "mes": swipes[shown], "swipes": swipes, "swipe_id": shown, "swipe_info": files}
    line["extra"] = files[shown]["extra"]
    talk = sillytavern.parse_conversation({"header": {}, "messages": [line]})
    assert [message.text for message in talk.messages] == [f"{version}\n\n[{version}.txt]" for version in kept]
    assert [message.text[0] for message in talk.messages if message.is_active] == [swipes[shown]]
    assert list_omitted(talk) == {"version": 4, "file": 3}


def test_generations_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "MAX_GENERATIONS", 2)
    answer = {"id": "a" * 16, "role": "assistant", "text": "A", "parent": MESSAGE["id"], "shown": True}
    generations = [{"status": "done", "model": name} for name in "abc"]
    talk = parse_native(messages=[MESSAGE, {**answer, "generations": generations}])
    assert [each["model"] for each in talk.messages[1].generations] == ["b", "c"]
    assert list_omitted(talk) == {"version": 1}


def test_characters_cut_off_notes_and_reasoning_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    note = "y" * (MAX_NOTE_CHARS + 30)
    rating = {"rating": "thumbsDown", "text": note}
    answer = {"messageId": "2", "parentMessageId": "1", "text": "A", "feedback": rating}
    question = {"messageId": "1", "text": "Q", "isCreatedByUser": True}
    generation = {"status": "done", "rating": -1, "rating_note": note}
    own = {"id": "a" * 16, "role": "assistant", "text": "A", "parent": MESSAGE["id"], "generations": [generation]}
    nodes = make_node("1", None, "user", "Q"), make_node("2", "1", "assistant", "A", feedback=rating)
    annotation = {"rating": -1, "comment": note}
    talks = [
        parse({"conversationId": "l", "messages": [question, answer]}),
        parse(make_chatgpt_record(*nodes)),
        parse(make_openwebui_record({"content": "Q"}, {"content": "A", "annotation": annotation})),
        parse_native(messages=[MESSAGE, own]),
    ]
    assert [len(talk.messages[1].generations[0]["rating_note"]) for talk in talks] == [MAX_NOTE_CHARS] * len(talks)
    assert [list_omitted(talk) for talk in talks] == [{"rating_note": 30}] * len(talks)
    monkeypatch.setattr(reasoning, "MAX_MESSAGE_CHARS", 10)
    monkeypatch.setattr(native, "MAX_MESSAGE_CHARS", 10)
    thought = {"type": "thinking", "thinking": "z" * 14}
    talks = [
        parse(make_claude_record({"text": "Q"}, {"text": "A", "content": [{"type": "text", "text": "A"}, thought]})),
        parse_native(messages=[MESSAGE, {**own, "generations": [], "reasoning": {"text": "z" * 14}}]),
    ]
    assert [list_omitted(talk) for talk in talks] == [{"reasoning": 4}] * 2


def test_ratings_and_projects_beside_a_conversation_are_counted_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    note = json.dumps({"text": "y" * (MAX_NOTE_CHARS + 30), "tags": ["z" * 200_000]})
    talk = make_chatgpt_record(make_node("1", None, "user", "Q"), make_node("2", "1", "assistant", "A"))
    rating = {"id": "2", "conversation_id": "c", "rating": "thumbs_up", "content": note}
    files = {"conversations.json": [talk], "message_feedback.json": [rating]}
    assert list_omitted(read_one(samples.zip_files(files), "x.zip")) == {"rating_note": 30}
    projects: list[Any] = [{"uuid": f"p{number}", "name": "P", "prompt_template": LONG} for number in range(4)]
    talk = make_claude_record({"text": "Q"}, project={"uuid": "p0"})
    monkeypatch.setattr(archived_details, "MAX_PROJECTS", 2)
    found = read_file(samples.zip_files({"conversations.json": [talk], "projects.json": projects}), "x.zip")
    assert list_omitted(found[0]) == {"instructions": 50}  # type: ignore[arg-type]
    assert BeyondLimitError(count=2) in found


@ONE_DATABASE
@pytest.mark.parametrize("longest_for_one_write", [200, 0])
def test_tags_and_personas_that_a_user_has_no_room_for_are_in_the_report(
    people: People, monkeypatch: pytest.MonkeyPatch, longest_for_one_write: int
) -> None:
    monkeypatch.setattr(import_job, "INITIAL_WEIGHT", longest_for_one_write)
    for name in NAMES[: tags.MAX_TAGS - 1]:
        tags.create(people.alice, name, "gray")
    file = {
        "format": "chatsite-export",
        "tags": [{"name": "new", "color": "red"}, {"name": "other", "color": "red"}, {"name": NAMES[0]}],
        "personas": [{"name": f"P{number}", "instructions": LONG} for number in range(MAX_PERSONAS + 3)],
        "conversations": [make_native_record(tags=["new", "two", "three", NAMES[1]])],
    }
    expected: list[Any] = [
        ("T", ImportOutcome.IMPORTED, None),
        ("Tags", ImportOutcome.SKIPPED, BeyondLimitError(count=1)),
        ("Personas", ImportOutcome.SKIPPED, BeyondLimitError(count=3)),
        ("Personas", ImportOutcome.SKIPPED, InstructionsCutError(count=50 * MAX_PERSONAS)),
    ]
    imported = t.import_file(people.alice, file)
    assert sorted(t.list_outcomes(imported), key=str) == sorted(expected, key=str)
    assert [note.omitted for note, _ in imports.list_results(imported).items if note.omitted] == [{"tag": 2}]
    assert len(personas.list_for(people.alice)) == MAX_PERSONAS
    expected[0] = ("T", ImportOutcome.DUPLICATE, None)
    assert sorted(t.list_outcomes(t.import_file(people.alice, file)), key=str) == sorted(expected, key=str)


@ONE_DATABASE
def test_imported_conversation_may_be_longer_than_one_may_grow(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is lost, and who writes in it is told why it takes no more messages."""
    turns = [{"role": "assistant" if number % 2 else "user", "content": f"{number}"} for number in range(12)]
    monkeypatch.setattr(message_tree, "MAX_MESSAGES", 5)
    t.import_file(people.alice, {"messages": turns})
    [conversation] = t.list_conversations(people.alice)
    assert t.list_shown_texts(conversation) == [turn["content"] for turn in turns]
    with pytest.raises(ConversationFullError, match="the limit of 5 messages"):
        messages.post_message(people.alice, conversation, messages.NewMessage("More"), limits=LIMITS)
    assert len(t.list_messages(conversation)) == len(turns)
