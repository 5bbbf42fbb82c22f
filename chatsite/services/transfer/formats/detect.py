"""Detection of the format of a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chatsite.errors import NoConversationError
from chatsite.services.transfer import omissions
from chatsite.services.transfer.coercion import UNTITLED, as_dict, single_line
from chatsite.services.transfer.formats import (
    chatgpt,
    claude,
    deepseek,
    gemini,
    grok,
    librechat,
    markdown_notes,
    message_lists,
    native,
    openwebui,
    qwen,
    sillytavern,
)
from chatsite.services.transfer.message_ordering import ImportedConversation
from chatsite.services.transfer.records import Record, RecordKind

Parser = Callable[[Mapping[str, Any]], ImportedConversation]

# A title made from the first message is as short as the ones that this site makes itself.
MAX_MADE_TITLE_CHARS = 60


def parse_record(record: Record) -> ImportedConversation:
    """Parse a record of any known format.

    Raises the record's own error, NoConversationError, NothingWrittenError, UnknownContentError or
    MessageTooLargeError.
    """
    if record.error:
        raise record.error
    parse = find_parser(record)
    if parse is None:
        raise NoConversationError
    imported = parse(record.value)
    imported.omitted.update(record.omitted)
    if parse is native.parse_conversation:
        return imported
    omissions.require_messages(imported.messages, imported.omitted)
    if imported.title == UNTITLED:
        imported.title = single_line(imported.messages[0].text, MAX_MADE_TITLE_CHARS) or UNTITLED
    return imported


def find_parser(record: Record) -> Parser | None:
    """Return the parser of the format that a record seems to have, or None."""
    value = record.value
    if record.array_name == "conversations" and "messages" in value:
        return native.parse_conversation
    if record.kind:
        return _KINDS[record.kind]
    return next((parse for matches, parse in _FORMATS if matches(value)), None)


def record_title(record: Record) -> str | None:
    """Return the likely title of a record that cannot be imported; None if there is none."""
    return record.title or single_line(record.value.get("title"), 120) or single_line(record.value.get("name"), 120)


def _has(key: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda value: key in value


def _has_history(value: Mapping[str, Any]) -> bool:
    return "messages" in as_dict(value.get("history"))


def _parse_chat_alone(value: Mapping[str, Any]) -> ImportedConversation:
    """Parse a chat of Open WebUI without the object around it, as old versions and converters write it."""
    return openwebui.parse_conversation({**value, "chat": value})


_KINDS: dict[RecordKind, Parser] = {
    RecordKind.NOTE: markdown_notes.parse_conversation,
    RecordKind.MESSAGES: message_lists.parse_conversation,
    RecordKind.SILLYTAVERN: sillytavern.parse_conversation,
    RecordKind.GEMINI: gemini.parse_conversation,
}
# The first that matches is taken, so the more particular ones come first.
_FORMATS: list[tuple[Callable[[Mapping[str, Any]], bool], Parser]] = [
    (deepseek.is_conversation, deepseek.parse_conversation),
    (_has("mapping"), chatgpt.parse_conversation),
    (_has("chat_messages"), claude.parse_conversation),
    (qwen.is_conversation, qwen.parse_conversation),
    (_has("chat"), openwebui.parse_conversation),
    (_has_history, _parse_chat_alone),
    (grok.is_conversation, grok.parse_conversation),
    (librechat.is_conversation, librechat.parse_conversation),
    (lambda value: message_lists.find_messages(value) is not None, message_lists.parse_conversation),
]
