"""Parser of plain lists of messages, as an array, one in each line, or in an object with a title.

OpenAI's `messages` (`role`, `content`), which the files of Jan, Mistral and many scripts resemble, and ShareGPT's
`conversations` (`from`, `value`). Most of them have no ids, so a conversation is known by its texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from chatsite.models import Role
from chatsite.services.transfer import message_ordering
from chatsite.services.transfer.coercion import (
    as_dict,
    conversation_title,
    parse_datetime,
    parse_instructions,
    single_line,
)
from chatsite.services.transfer.content import message_parts
from chatsite.services.transfer.content.reasoning import keep_reasoning
from chatsite.services.transfer.message_ordering import ImportedConversation, ImportedMessage
from chatsite.services.transfer.omissions import Omissions, OmittedKind

ROLES = {
    "user": Role.USER,
    "human": Role.USER,
    "assistant": Role.ASSISTANT,
    "gpt": Role.ASSISTANT,
    "chatgpt": Role.ASSISTANT,
    "bing": Role.ASSISTANT,
    "bard": Role.ASSISTANT,
    "bot": Role.ASSISTANT,
    "model": Role.ASSISTANT,
}
INSTRUCTION_ROLES = {"system", "developer"}
CALL_ROLES = {"function_call"}
RESULT_ROLES = {"tool", "function", "observation"}
TEXT_KEYS = ("content", "value", "text", "contentChunks")
LIST_KEYS = ("messages", "conversations", "conversation", "data", "items")
TIME_KEYS = ("created_at", "createdAt", "timestamp", "create_time", "time", "date")


def is_message(value: Mapping[str, Any]) -> bool:
    """Return whether an object is one message with a role and a text."""
    role = _role_name(value)
    known = role in {*ROLES, *INSTRUCTION_ROLES, *CALL_ROLES, *RESULT_ROLES}
    # A message that only calls a tool may have no text.
    return known and any(key in value for key in (*TEXT_KEYS, "tool_calls"))


def find_messages(value: Mapping[str, Any]) -> list[Any] | None:
    """Return the list of messages of a conversation; None if the object is no such conversation."""
    for key in LIST_KEYS:
        messages = value.get(key)
        if isinstance(messages, list) and messages and is_message(as_dict(messages[0])):
            return messages
    return None


def parse_conversation(record: Mapping[str, Any]) -> ImportedConversation:
    """Parse an object with a list of messages. Raises MessageTooLargeError."""
    records = [as_dict(each) for each in find_messages(record) or []]
    model = single_line(record.get("model"), 200)
    omitted = Omissions()
    messages = [_parse_message(each, number, omitted, model=model) for number, each in enumerate(records)]
    _count_other_messages(records, omitted)
    ordered = message_ordering.parents_first(messages)
    source_id = content_source_id("messages", ordered)
    return ImportedConversation(
        import_source_id=source_id,
        original_source_id=source_id,
        title=conversation_title(record.get("title") or record.get("name")),
        messages=message_ordering.with_one_active_version(ordered),
        created_at=_parse_time(record),
        updated_at=parse_datetime(record.get("updated_at") or record.get("updatedAt")),
        values={"instructions": _find_instructions(records, omitted)},
        omitted=omitted,
    )


def _count_other_messages(records: list[Mapping[str, Any]], omitted: Omissions) -> None:
    """Count hidden messages, and the messages to and from tools. A result without its call counts as one."""
    roles = [_role_name(record) for record in records]
    # The first one becomes the instructions of the conversation.
    omitted[OmittedKind.HIDDEN] += sum(role in INSTRUCTION_ROLES for role in roles[1:])
    omitted[OmittedKind.TOOL_CALL] += sum(role in CALL_ROLES for role in roles)
    results = sum(role in RESULT_ROLES for role in roles)
    omitted[OmittedKind.TOOL_CALL] = max(omitted[OmittedKind.TOOL_CALL], results)


def content_source_id(source: str, messages: Iterable[ImportedMessage]) -> str:
    """Return the import source id of a conversation without an id, made from who wrote what in it."""
    digest = hashlib.sha256()
    for message in messages:
        digest.update(f"{message.role}:{len(message.text)}:{message.text}\n".encode())
    return f"{source}:{digest.hexdigest()[:32]}"


def _parse_message(record: Mapping[str, Any], number: int, omitted: Omissions, *, model: str | None) -> ImportedMessage:
    """Parse a message, which follows the one before it in the file. Raises MessageTooLargeError."""
    role = ROLES.get(_role_name(record))
    text = message_parts.message_text(record, TEXT_KEYS, omitted) if role else ""
    model = single_line(record.get("model"), 200) or model
    thoughts = message_parts.list_reasoning(record, TEXT_KEYS) if role else []
    return ImportedMessage(
        source_key=f"#{number}",
        parent_key=f"#{number - 1}" if number else None,
        role=role if text else None,
        text=text,
        created_at=_parse_time(record),
        generations=[{"model": model}] if model and role is Role.ASSISTANT else [],
        reasoning=keep_reasoning(thoughts, omitted, has_answer=bool(text) and role is Role.ASSISTANT),
    )


def _find_instructions(records: list[Mapping[str, Any]], omitted: Omissions) -> str | None:
    """Return the text of the first system message, which a model reads before all messages here too."""
    if not records or _role_name(records[0]) not in INSTRUCTION_ROLES:
        return None
    return parse_instructions(message_parts.message_text(records[0], TEXT_KEYS, Omissions()), omitted)


def _role_name(record: Mapping[str, Any]) -> str:
    name = record.get("role", record.get("from"))
    return name.lower() if isinstance(name, str) else ""


def _parse_time(record: Mapping[str, Any]) -> Any:
    return next(filter(None, (parse_datetime(record.get(key)) for key in TIME_KEYS)), None)
