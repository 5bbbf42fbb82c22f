"""Exports of other products are read as they are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatsite.database import WriteSession
from chatsite.errors import (
    PartsWithoutConversationsError,
    RecordDamagedError,
    RecordTooDeepError,
    RecordTooLargeError,
    UnreadableError,
)
from chatsite.runner import import_job
from chatsite.services.transfer import import_leases
from chatsite.services.transfer.files import record_groups
from chatsite.services.transfer.message_ordering import ImportedConversation
from tests.conftest import People
from tests.support import export_samples as samples
from tests.support import other_exports
from tests.support import transfer_fixtures as t
from tests.support.file_reading import models, read_file, read_one, shown

ONE_DATABASE = pytest.mark.parametrize("any_app", ["sqlite"], indirect=True)


def test_deepseek_tree_is_read_without_thoughts() -> None:
    talk = read_one([samples.deepseek_conversation()])
    assert (talk.title, talk.import_source_id) == ("Stars", "deepseek:6f2d9d0a-1111-4c4c-8888-000000000001")
    assert shown(talk) == [("user", "Name a star.\n\n[sky.pdf]"), ("assistant", "Deneb.")]
    assert [message.text for message in talk.messages][1:] == ["Vega.", "Deneb."]
    assert models(talk) == ["deepseek-reasoner"] * 2
    assert str(talk.created_at) == "2025-03-01 01:00:00+00:00"
    assert str(talk.messages[0].created_at) == "2025-03-01 01:00:01+00:00"


def test_old_deepseek_messages_have_roles_by_their_place() -> None:
    conversation = samples.deepseek_conversation()
    for node in conversation["mapping"].values():
        if node["message"]:
            node["message"]["content"] = node["message"].pop("fragments")[-1]["content"]
    assert shown(read_one([conversation])) == [("user", "Name a star.\n\n[sky.pdf]"), ("assistant", "Deneb.")]


def test_grok_conversations_are_read_from_their_list() -> None:
    talk, others = read_file(samples.grok_export(), "prod-grok-backend.json")
    assert others == PartsWithoutConversationsError(count=2, names="projects (1), media_posts (1)")
    assert isinstance(talk, ImportedConversation)
    assert (talk.title, talk.import_source_id, talk.values["pinned"]) == ("Moon", "grok:g1", True)
    assert shown(talk) == [("user", "How far is the moon?"), ("assistant", "384,400 km.\n\n[image]")]
    assert [(message.parent_key, message.text) for message in talk.messages][1] == ("r1", "Far.")
    assert models(talk) == ["grok-4", "grok-4"]
    assert str(talk.messages[0].created_at) == "2025-05-01 10:00:00+00:00"
    archive = samples.zip_files(
        {
            "ttl/30d/export_data/u/prod-mc-billing.json": {"balance": 1},
            "ttl/30d/export_data/u/prod-grok-backend.json": samples.grok_export(),
        }
    )
    again, others = read_file(archive, "grok.zip")
    assert isinstance(again, ImportedConversation)
    assert shown(again) == shown(talk)
    names = "projects (1), media_posts (1), prod-mc-billing.json"
    assert others == PartsWithoutConversationsError(count=3, names=names)


def test_chat_of_openwebui_without_envelope_is_read() -> None:
    chat = other_exports.make_openwebui_conversation()["chat"]
    talk = read_one([{"id": "leg", "timestamp": 1700000000000, **chat, "title": "Old chat"}])
    assert (talk.title, talk.import_source_id) == ("Old chat", "openwebui:leg")
    assert shown(talk) == [("user", "Hi"), ("assistant", "One")]
    assert str(talk.created_at) == "2023-11-14 22:13:20+00:00"


def test_qwen_answers_are_read_from_their_parts() -> None:
    conversation = other_exports.make_openwebui_conversation()
    answer = conversation["chat"]["history"]["messages"]["a"]
    thought, text = {"phase": "think", "content": "Hmm"}, {"phase": "answer", "content": "Green."}
    answer |= {"content": "", "content_list": [thought, text]}
    talk = read_one({"success": True, "request_id": "q", "data": [conversation]})
    assert shown(talk) == [("user", "Hi"), ("assistant", "Green.")]


def test_librechat_is_read_nested_and_flat() -> None:
    tree = samples.nested_librechat(3)
    parts = [
        {"type": "think", "think": "Hmm"},
        {"type": "text", "text": {"value": "Leek."}},
        {"type": "text", "text": "Salt."},
    ]
    tree["messages"][0]["children"].append(samples.librechat_message(4, 1, children=[], text="", content=parts))
    talk = read_one(tree)
    assert (talk.title, talk.import_source_id) == ("Soup", "librechat:b1d54dc4-0000-4000-8000-000000000001")
    # The branch with the last message is shown.
    assert shown(talk) == [("user", "Text 1"), ("assistant", "Leek.\n\nSalt.")]
    assert [(message.text, message.parent_key) for message in talk.messages][1:3] == [
        ("Text 2", "m1"),
        ("Text 3", "m2"),
    ]
    assert models(talk) == ["gpt-4o", "gpt-4o"]
    flat = [samples.librechat_message(number, number - 1) for number in range(1, 4)]
    assert len(shown(read_one(samples.librechat_conversation(flat, recursive=False)))) == 3
    edited = [*flat, samples.librechat_message(5, 0)]
    assert shown(read_one(samples.librechat_conversation(edited, recursive=False))) == [("user", "Text 5")]
    for message in flat:
        del message["parentMessageId"]
    assert len(shown(read_one(samples.librechat_conversation(flat, recursive=False)))) == 3


def to_json(value: object) -> str:
    """Return nested messages as JSON, without recursion; the children are the last key of each."""
    pieces, closing = [], 0
    while isinstance(value, dict):
        *first, (key, last) = value.items()
        pieces.append("{" + "".join(f"{json.dumps(name)}:{json.dumps(each)}," for name, each in first) + f'"{key}":[')
        closing += 1
        value = last[0] if last else None
    return "".join(pieces) + "]}" * closing


def test_long_nested_conversation_is_read_and_endless_depth_is_not() -> None:
    conversation = samples.nested_librechat(1)
    first, _, last = json.dumps({**conversation, "messages": []}).rpartition("[]")
    text = first + "[" + to_json(samples.nested_librechat(3000)["messages"][0]) + "]" + last
    talk = read_one(text.encode())
    assert len(shown(talk)) == 3000
    # The lists inside may be as deep as they want: nothing here is recursive.
    endless = b'{"conversationId": "x", "messages": ' + b"[" * 30_000 + b"]" * 30_000 + b"}"
    assert read_file(endless) == [RecordTooDeepError()]
    broken = text.replace('"text":"Text 7"', '"text":Text 7')
    assert read_file(broken.encode()) == [RecordDamagedError()]


@pytest.mark.parametrize(
    "data", [samples.OPENAI_MESSAGES, samples.to_lines(*samples.OPENAI_MESSAGES)], ids=["array", "lines"]
)
def test_list_of_messages_is_one_conversation(data: object) -> None:
    talk = read_one(data, "backups/My chat.jsonl")
    assert talk.title == "My chat"
    assert shown(talk) == [("user", "Hello\n\n[image]"), ("assistant", "Hi.")]
    assert talk.values["instructions"] == "Be brief."
    assert models(talk) == ["gpt-4o"]


def test_lines_with_lists_of_messages_are_conversations() -> None:
    chats = [
        {"messages": [{"role": "user", "content": f"Q{n}"}, {"role": "assistant", "content": "A"}]} for n in (1, 2)
    ]
    talks = read_file(samples.to_lines(*chats), "train.jsonl")
    assert [talk.title for talk in talks if isinstance(talk, ImportedConversation)] == ["Q1", "Q2"]
    # A dataset counts its own conversations, so two files have the same ids.
    sharegpt = [
        {"id": "s0", "conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": text}]}
        for text in "AB"
    ]
    first, second = read_file(samples.to_lines(*sharegpt))
    assert isinstance(first, ImportedConversation)
    assert isinstance(second, ImportedConversation)
    assert first.import_source_id != second.import_source_id
    assert shown(second) == [("user", "Q"), ("assistant", "B")]
    # One odd element does not make a list of conversations of the list of messages.
    odd = {"id": "s1", "conversations": [{"from": "human", "value": "Q"}, {"x": 1}, {"from": "gpt", "value": "A"}]}
    assert shown(read_one(odd)) == [("user", "Q"), ("assistant", "A")]
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}
    assert models(read_one(body)) == ["gpt-4o"]


def test_relatives_of_openai_messages_are_read() -> None:
    parts = [[{"type": "text", "text": {"value": text, "annotations": []}}] for text in ("Hello", "Hi.")]
    jan = [
        {
            "id": "m",
            "object": "thread.message",
            "thread_id": "t",
            "role": role,
            "content": content,
            "created_at": 1767225600000,
        }
        for role, content in zip(("user", "assistant"), parts, strict=True)
    ]
    mistral = [
        {"id": "m", "chatId": "c", "role": "user", "content": "Hello", "createdAt": "2026-01-01T00:00:00Z"},
        {
            "id": "n",
            "chatId": "c",
            "role": "assistant",
            "content": "",
            "contentChunks": [{"type": "text", "text": "Hi."}],
        },
    ]
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]
    chatbot_ui = {"version": 4, "history": [{"id": "1", "name": "Greeting", "messages": messages}], "folders": []}
    talks = [read_one(samples.to_lines(*jan), "messages.jsonl"), read_one(mistral), read_one(chatbot_ui)]
    assert [shown(talk) for talk in talks] == [[("user", "Hello"), ("assistant", "Hi.")]] * 3
    assert [str(talk.messages[0].created_at) for talk in talks[:2]] == ["2026-01-01 00:00:00+00:00"] * 2
    assert talks[2].title == "Greeting"


def test_damaged_line_leaves_the_messages_around_it_in_one_conversation() -> None:
    lines = samples.to_lines(*[{"role": "user", "content": f"Q{n}"} for n in range(5)]).splitlines()
    lines[2] = b'{"role": "user", "content": "Q}'
    damaged, talk = read_file(b"\n".join(lines), "x.jsonl")
    assert isinstance(damaged, UnreadableError)
    assert isinstance(talk, ImportedConversation)
    assert [text for _, text in shown(talk)][:2] == ["Q0", "Q1"]


def test_sillytavern_chat_is_read_with_its_versions() -> None:
    talk = read_one(samples.SILLYTAVERN, "Guide - 2024-05-01.jsonl")
    assert talk.title == "Guide - 2024-05-01"
    assert shown(talk) == [("assistant", "Welcome."), ("user", "Hello"), ("assistant", "Second"), ("user", "Bye")]
    assert [message.text for message in talk.messages if not message.is_active] == ["First"]
    times = [str(message.created_at) for message in talk.messages]
    assert times[:2] == ["2024-05-01 10:00:00+00:00", "2024-05-01 22:01:00+00:00"]
    assert times[-1] == "2024-05-01 22:03:00+00:00"
    assert models(talk) == [None, None, "gpt-4o"]


def test_gemini_activity_becomes_conversations_by_its_pauses() -> None:
    activity = [
        samples.gemini_activity("2026-03-02T12:00:00.000Z", "Later?", "<p>Much <b>later</b>.</p>"),
        samples.gemini_activity("2026-03-02T09:20:00.000Z", "x", title="Used an image"),
        samples.gemini_activity("2026-03-02T09:16:00.000Z", "And a bay?", "<p>A wide one:</p><ul><li>wide</li></ul>"),
        samples.gemini_activity("2026-03-02T09:15:00.000Z", "What is a fjord?"),
        {"header": "Search", "title": "Searched for x", "time": "2026-03-02T09:00:00.000Z", "products": ["Search"]},
    ]
    later, earlier, *others = read_file(activity, "MyActivity.json")
    assert isinstance(later, ImportedConversation)
    assert isinstance(earlier, ImportedConversation)
    assert shown(later) == [("user", "Later?"), ("assistant", "Much **later**.")]
    assert [text for _, text in shown(earlier)] == ["What is a fjord?", "And a bay?", "A wide one:\n\n- wide"]
    assert earlier.title == "What is a fjord?"
    assert len(others) == 1
    # A later file has the same conversations, whatever came in addition.
    newer = [samples.gemini_activity("2026-03-03T12:00:00.000Z", "New?"), *activity]
    assert [each.import_source_id for each in read_file(newer)[1:3] if isinstance(each, ImportedConversation)] == [
        later.import_source_id,
        earlier.import_source_id,
    ]


def test_groups_of_messages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_groups, "MAX_RECORD_BYTES", 2000)
    messages = [{"role": "user", "content": "x" * 100}] * 50
    assert read_file(messages) == [RecordTooLargeError()]
    monkeypatch.setattr(record_groups, "MAX_RECORDS", 10)
    assert read_one([{"role": "user", "content": "x"}] * 14).omitted.total() == 4


@ONE_DATABASE
def test_lease_is_renewed_while_no_record_comes(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of notes that are no chats gives one record at its end, however long it takes to read."""
    monkeypatch.setattr(import_job, "LEASE_SECONDS", 0)
    renewals = []
    heartbeat = import_leases.heartbeat

    def count_heartbeat(tx: WriteSession, claim: Any, progress: Any, *, lease_seconds: float) -> None:
        renewals.append(lease_seconds)
        heartbeat(tx, claim, progress, lease_seconds=60)

    monkeypatch.setattr(import_leases, "heartbeat", count_heartbeat)
    notes = {f"{n}.md": b"# Shopping" for n in range(30)}
    t.import_file(people.alice, samples.zip_files({**notes, "chat.md": samples.BOLD_NOTE}), "vault.zip")
    assert len(renewals) > 30


@ONE_DATABASE
def test_conversations_without_ids_are_known_again(people: People) -> None:
    deepseek, grok, librechat = samples.deepseek_conversation(), samples.grok_export(), samples.nested_librechat(4)
    del deepseek["id"], grok["conversations"][0]["conversation"]["id"], librechat["conversationId"]
    archive = samples.zip_files({"deepseek.json": [deepseek], "grok.json": grok, "librechat.json": librechat})
    first = t.import_file(people.alice, archive, "all.zip")
    # What Grok has besides its conversations is named.
    assert (first.imported_count, first.skipped_count) == (3, 1)
    second = t.import_file(people.alice, archive, "all.zip")
    assert (second.imported_count, second.duplicate_count, second.skipped_count) == (0, 3, 1)


@ONE_DATABASE
def test_second_import_of_any_format_changes_nothing(people: People) -> None:
    files = {
        "deepseek.json": [samples.deepseek_conversation()],
        "grok.json": samples.grok_export(),
        "librechat.json": samples.nested_librechat(4),
        "openai.json": samples.OPENAI_MESSAGES,
        "chat.jsonl": samples.SILLYTAVERN,
        "MyActivity.json": [samples.gemini_activity("2026-03-02T12:00:00.000Z", "Later?", "<p>Yes</p>")],
        "note.md": samples.NOTE,
        "chats.json": [other_exports.make_openwebui_conversation()["chat"] | {"id": "leg"}],
    }
    archive = samples.zip_files(files)
    first = t.import_file(people.alice, archive, "all.zip")
    assert (first.imported_count, first.skipped_count) == (len(files), 1)
    exported = t.export_native(people.alice)
    second = t.import_file(people.alice, archive, "all.zip")
    assert (second.imported_count, second.duplicate_count, second.skipped_count) == (0, len(files), 1)
    assert t.export_native(people.alice) == exported
