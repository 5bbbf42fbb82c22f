"""Files that cannot be read are refused once, by their content, with what to do instead."""

from __future__ import annotations

import json

import pytest

from chatsite.errors import (
    ArchivePageError,
    ChatsiteError,
    MoreUnknownRecordsError,
    NoConversationsInFileError,
    NothingFoundError,
    OtherArchiveError,
    OtherEncodingError,
    RecordDamagedError,
    TakeoutPageError,
    TemplateError,
    UnknownFormatError,
    UnreadableError,
    UnsupportedProductError,
)
from tests.support import export_samples as samples
from tests.support import other_exports
from tests.support.file_reading import read_file, read_one, shown


@pytest.mark.parametrize("name", ["shopping.json", "user.json", "Projects/chat.json", "design_chats/1.json"])
def test_name_of_another_file_does_not_refuse_a_chat(name: str) -> None:
    for chat in (samples.nested_librechat(3), [other_exports.make_claude_conversation()]):
        title = read_one(chat, "chat.json").title
        assert read_one(chat, name).title == read_one(samples.zip_files({name: chat}), "x.zip").title == title
    # What is damaged is said to be so.
    assert [type(each) for each in read_file(b'[{"uuid": "x", "chat_messages": [', name)] == [RecordDamagedError]
    with pytest.raises(NoConversationsInFileError):
        read_file([], name)


def test_note_that_begins_like_a_page_is_a_note() -> None:
    assert len(shown(read_one(b"<!-- From ChatGPT -->\n" + samples.BOLD_NOTE, "note.md"))) == 2


CLAUDE_CODE = [
    {"type": "user", "sessionId": "s", "parentUuid": None, "message": {"role": "user", "content": "x"}}
    for _ in range(90)
]


@pytest.mark.parametrize(
    ("name", "data", "product"),
    [
        ("lobe.json", {"exportType": "sessions", "state": {"sessions": []}}, "LobeChat"),
        ("lobe.json", {"mode": "postgres", "schemaHash": "x", "data": {}}, "LobeChat"),
        ("tm.json", {"data": {"chats": [{"chatID": "x", "messages": []}]}}, "TypingMind"),
        ("c.json", {"chat-sessions-list": [{"id": 1}]}, "Chatbox"),
        ("s.jsonl", samples.to_lines(*CLAUDE_CODE), "Claude Code"),
        ("Chat", {"runSettings": {}, "chunkedPrompt": {"chunks": []}}, "Google AI Studio"),
        ("p.json", {"conversations": [{"entries": [{"query": "x", "answer": "y"}]}]}, "Perplexity"),
        ("thread.json", {"id": "t", "object": "thread", "assistants": [], "metadata": {}}, "Jan"),
        ("chat.json", [{"id": 1, "chatId": "x", "parentVersion": 0}], "Mistral"),
    ],
)
def test_export_of_unsupported_product_is_refused_once(name: str, data: object, product: str) -> None:
    with pytest.raises(UnsupportedProductError) as raised:
        read_file(data, name)
    assert raised.value == UnsupportedProductError(product=product)


OF_CLAUDE = NoConversationsInFileError(product="Claude", name="conversations.json")
TAKEOUT_ZIP = samples.zip_files({"Takeout/My Activity/Gemini Apps/MyActivity.html": b"<html>"})
TEMPLATE = b'[{"title": "[title]", "create_time": EPOCH, "id": "[id]", "node": "[redacted]"}]'


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("m.json", [{"conversations_memory": "x"}], OF_CLAUDE),
        ("projects.json", [{"uuid": "p"}], OF_CLAUDE),
        ("users.json", [{"uuid": "p"}], OF_CLAUDE),
        ("design_chats/1.json", [{"uuid": "p"}], OF_CLAUDE),
        ("user.json", {"id": "p"}, NoConversationsInFileError(product="ChatGPT", name="conversations.json")),
        ("chat.html", b"<html><body>ChatGPT Data Export", ArchivePageError()),
        ("MyActivity.html", b"<html><title>Gemini Apps", TakeoutPageError()),
        ("x.zip", TAKEOUT_ZIP, TakeoutPageError()),
        ("x.tar.gz", b"\x1f\x8b\x08\0", OtherArchiveError(kind="gzip")),
        ("x.tar", b"a" * 257 + b"ustar", OtherArchiveError(kind="tar")),
        ("x.json", json.dumps([1]).encode("utf-16"), OtherEncodingError(encoding="UTF-16")),
        ("x.json", json.dumps([1]).encode("utf-16-le"), OtherEncodingError(encoding="UTF-16")),
        ("x.json", TEMPLATE, TemplateError()),
        ("x.json", [{"x": n} for n in range(1000)], UnknownFormatError()),
        # It is not read to its end.
        ("x.json", [*({"x": n} for n in range(1000)), other_exports.make_claude_conversation()], UnknownFormatError()),
        ("x.json", {"x": 1}, UnknownFormatError()),
        ("x.zip", samples.zip_files({"readme.html": b"<html>"}), NothingFoundError()),
    ],
)
def test_unreadable_file_is_refused_once(name: str, data: object, error: ChatsiteError) -> None:
    with pytest.raises(UnreadableError) as raised:
        read_file(data, name)
    assert raised.value == error


def test_unknown_parts_beside_conversations_are_not_hundreds() -> None:
    found = read_file([{"x": 0}, other_exports.make_claude_conversation(), *({"x": n} for n in range(500))])
    reasons = [each for each in found if isinstance(each, ChatsiteError)]
    assert (len(found), len(reasons)) == (22, 21)
    assert reasons[-1] == MoreUnknownRecordsError(count=481)
