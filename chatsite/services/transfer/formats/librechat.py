"""Parser of LibreChat exports: messages with `children` in them, or a flat list with `parentMessageId`.

The nested form is as deep as the conversation is long, so it is walked without recursion.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from chatsite.models import Role
from chatsite.services.transfer import message_ordering
from chatsite.services.transfer.coercion import (
    as_dict,
    as_list,
    clean_message_text,
    conversation_title,
    external_id,
    parse_datetime,
    parse_instructions,
    single_line,
)
from chatsite.services.transfer.content.attachments import mention_attachment, mention_image
from chatsite.services.transfer.content.feedback import parse_feedback
from chatsite.services.transfer.content.reasoning import keep_reasoning
from chatsite.services.transfer.content.tag_names import parse_tags
from chatsite.services.transfer.message_ordering import ImportedConversation, ImportedMessage
from chatsite.services.transfer.omissions import Omissions, OmittedKind

MAX_MESSAGES = 50_000
REASONING_PART = "think"
OMITTED_PARTS = {"tool_call": OmittedKind.TOOL_CALL}
IMAGE_PARTS = {"image_file", "image_url"}


def is_conversation(record: Mapping[str, Any]) -> bool:
    """Return whether an object is a conversation of LibreChat."""
    messages = as_list(record.get("messages")) or as_list(record.get("messagesTree"))
    return bool(messages) and ("conversationId" in record or "isCreatedByUser" in as_dict(messages[0]))


def parse_conversation(record: Mapping[str, Any]) -> ImportedConversation:
    """Parse a conversation of a LibreChat export. Raises MessageTooLargeError."""
    options = as_dict(record.get("options"))
    tree = as_list(record.get("messages")) or as_list(record.get("messagesTree"))
    model = single_line(options.get("model"), 200)
    omitted = Omissions()
    found = _iter_messages(tree)
    messages = [
        _parse_message(each, keys, omitted, model=model) for keys, each in itertools.islice(found, MAX_MESSAGES)
    ]
    omitted[OmittedKind.MESSAGE] += sum(1 for _ in found)
    ordered = message_ordering.parents_first(message_ordering.sort_by_time(messages))
    created_at = parse_datetime(record.get("createdAt") or options.get("createdAt"))
    updated_at = parse_datetime(record.get("updatedAt") or options.get("updatedAt"))
    source_id = external_id(record.get("conversationId")) or message_ordering.derive_source_id(ordered, created_at)
    return ImportedConversation(
        import_source_id=f"librechat:{source_id}",
        original_source_id=f"librechat:{source_id}",
        title=conversation_title(record.get("title") or options.get("title")),
        messages=message_ordering.with_one_active_version(ordered, ordered[-1].source_key if ordered else None),
        created_at=created_at,
        updated_at=updated_at,
        values={
            "archived_at": updated_at if options.get("isArchived") is True else None,
            "instructions": parse_instructions(options.get("promptPrefix") or options.get("system"), omitted),
        },
        tags=parse_tags(as_list(record.get("tags") or options.get("tags")), omitted),
        omitted=omitted,
    )


def _iter_messages(tree: list[Any]) -> Iterator[tuple[tuple[str, str | None], Mapping[str, Any]]]:
    """Yield each message with its key and the key of its parent; a parent before its children.

    A message of a flat list without a parent follows the one before it.
    """
    waiting: list[tuple[Mapping[str, Any], str | None]] = [(as_dict(each), None) for each in reversed(tree)]
    previous_key: str | None = None
    for number in itertools.count():
        if not waiting:
            return
        message, outer_key = waiting.pop()
        key = external_id(message.get("messageId")) or f"#{number}"
        named_key = external_id(message.get("parentMessageId"))
        parent_key = outer_key or named_key or (None if "children" in message else previous_key)
        yield (key, parent_key), message
        previous_key = key
        waiting += [(as_dict(child), key) for child in reversed(as_list(message.get("children")))]


def _parse_message(
    record: Mapping[str, Any], keys: tuple[str, str | None], omitted: Omissions, *, model: str | None
) -> ImportedMessage:
    """Parse a message; `model` is the one of the conversation. Raises MessageTooLargeError."""
    text = _message_text(record, omitted)
    role = Role.USER if record.get("isCreatedByUser") is True or record.get("sender") == "User" else Role.ASSISTANT
    # Plugins and agents have only the name of who answered.
    model = single_line(record.get("model"), 200) or single_line(record.get("sender"), 200) or model
    parts = [as_dict(part) for part in as_list(record.get("content"))]
    thoughts = [_part_text(part, REASONING_PART) for part in parts if part.get("type") == REASONING_PART]
    return ImportedMessage(
        source_key=keys[0],
        parent_key=keys[1],
        role=role if text else None,
        text=text,
        created_at=parse_datetime(record.get("createdAt")),
        import_source_id=external_id(record.get("messageId")),
        generations=_parse_generations(record, model, omitted) if role is Role.ASSISTANT else [],
        reasoning=keep_reasoning(thoughts, omitted, has_answer=bool(text) and role is Role.ASSISTANT),
    )


def _parse_generations(record: Mapping[str, Any], model: str | None, omitted: Omissions) -> list[dict[str, Any]]:
    """Return the generation of an answer with its model and rating, if one of them is known."""
    values = ({"model": model} if model else {}) | parse_feedback(record.get("feedback"), omitted)
    return [values] if values else []


def _part_text(part: Mapping[str, Any], key: str) -> object:
    """Return the text of a part, which is an object with the text as its `value` in some versions."""
    return as_dict(part.get(key)).get("value", part.get(key))


def _message_text(record: Mapping[str, Any], omitted: Omissions) -> str:
    """Return the text of a message, or else its parts of the type `text`, with the names of images and files.

    Counts in `omitted` what is left out of it.
    """
    text = record["text"].strip() if isinstance(record.get("text"), str) else ""
    written = [text] if text else []
    for part in map(as_dict, as_list(record.get("content"))):
        kind = str(part.get("type"))
        if kind in IMAGE_PARTS:
            written.append(mention_image(as_dict(part.get(kind)).get("filename"), omitted))
        elif kind not in {"text", REASONING_PART}:
            omitted[OMITTED_PARTS.get(kind, OmittedKind.UNKNOWN)] += 1
        elif kind == "text" and not text:
            value = _part_text(part, "text")
            written.append(value if isinstance(value, str) else "")
    # A tool attaches the files that it made, and results that have no name.
    made = [file for file in map(as_dict, as_list(record.get("attachments"))) if file.get("filename")]
    for file in [*map(as_dict, as_list(record.get("files"))), *made]:
        written.append(mention_attachment(file.get("filename"), omitted, media_type=file.get("type")))
    omitted[OmittedKind.TOOL_CALL] += len(as_list(record.get("plugins"))) or bool(record.get("plugin"))
    return clean_message_text("\n\n".join(filter(None, written)))
