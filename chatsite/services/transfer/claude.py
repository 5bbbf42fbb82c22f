"""Conversations of an export of Claude: `chat_messages` of a human and an assistant, each with blocks of content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chatsite.models import Role
from chatsite.services.transfer import trees
from chatsite.services.transfer.trees import Found, Said
from chatsite.services.transfer.values import (
    NO_CONVERSATION,
    UnreadableError,
    line,
    listing,
    mapping,
    moment,
    name,
    title,
    written,
)

ROLES = {"human": Role.USER, "user": Role.USER, "assistant": Role.ASSISTANT}


def conversation(record: Mapping[str, Any]) -> Found:
    """A conversation of a file. Raises UnreadableError."""
    their_id = name(record.get("uuid"))
    if their_id is None or not isinstance(record.get("chat_messages"), list):
        raise UnreadableError(NO_CONVERSATION)
    said: list[Said] = []
    for number, each in enumerate(record["chat_messages"]):
        said.append(_message(mapping(each), number, said[-1].key if said else None))
    ordered = trees.ordered(said)
    known = {each.key for each in ordered}
    current = name(record.get("current_leaf_message_uuid"))
    return Found(
        origin=f"claude:{their_id}",
        source=f"claude:{their_id}",
        title=title(record.get("name")),
        said=trees.settled(ordered, current if current in known else ordered[-1].key if ordered else None),
        created_at=moment(record.get("created_at")),
        updated_at=moment(record.get("updated_at")),
        values={"pinned": record.get("is_starred") is True},
    )


def _message(record: Mapping[str, Any], number: int, before: str | None) -> Said:
    """A message; one that names no parent follows the one before it."""
    text = _text(record)
    their_id = name(record.get("uuid"))
    role = ROLES.get(str(record.get("sender")))
    model = line(record.get("model"), 200) if role is Role.ASSISTANT else None
    return Said(
        key=their_id or f"#{number}",
        parent=name(record.get("parent_message_uuid")) or before,
        role=role if text else None,
        text=text,
        created_at=moment(record.get("created_at")),
        origin=their_id,
        runs=[{"model": model}] if model else [],
    )


def _text(record: Mapping[str, Any]) -> str:
    """What was said: the blocks of text, or else the whole text, and the files that came with it."""
    blocks = [mapping(block) for block in listing(record.get("content"))]
    said = [block["text"] for block in blocks if block.get("type") == "text" and isinstance(block.get("text"), str)]
    if not any(said):
        said = [record["text"]] if isinstance(record.get("text"), str) else []
    brought = [mapping(each) for key in ("attachments", "files") for each in listing(record.get(key))]
    return written("\n\n".join(filter(None, [*said, *map(_file, brought)])))


def _file(record: Mapping[str, Any]) -> str:
    called = line(record.get("file_name"), 200) or "…"
    content = record.get("extracted_content")
    return f"[{called}]\n\n{content}" if isinstance(content, str) and content else f"[{called}]"
