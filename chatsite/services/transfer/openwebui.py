"""Conversations of an export of Open WebUI: a `chat` with a history of messages and the one that is current."""

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

ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT}
MOST_TAGS = 100


def conversation(record: Mapping[str, Any]) -> Found:
    """A conversation of a file. Raises UnreadableError."""
    chat = mapping(record.get("chat"))
    history = mapping(chat.get("history"))
    their_id = name(record.get("id")) or name(chat.get("id"))
    if their_id is None or not chat:
        raise UnreadableError(NO_CONVERSATION)
    said = trees.ordered(trees.by_time(_messages(chat, history)))
    known = {each.key for each in said}
    current = name(history.get("currentId"))
    updated = moment(record.get("updated_at")) or moment(chat.get("timestamp"))
    tags = [line(tag, 40) for tag in listing(mapping(record.get("meta")).get("tags"))[:MOST_TAGS]]
    return Found(
        origin=f"openwebui:{their_id}",
        source=f"openwebui:{their_id}",
        title=title(record.get("title") or chat.get("title")),
        said=trees.settled(said, current if current in known else None),
        created_at=moment(record.get("created_at")) or moment(chat.get("timestamp")),
        updated_at=updated,
        values={
            "pinned": record.get("pinned") is True,
            "archived_at": updated if record.get("archived") is True else None,
        },
        tags=[tag for tag in tags if tag],
    )


def _messages(chat: Mapping[str, Any], history: Mapping[str, Any]) -> list[Said]:
    """The tree of the history, or the plain list that very old versions have."""
    tree = mapping(history.get("messages"))
    if tree:
        return [_message(mapping(each), key, None) for key, each in tree.items()]
    said: list[Said] = []
    for number, each in enumerate(listing(chat.get("messages"))):
        said.append(_message(mapping(each), f"#{number}", said[-1].key if said else None))
    return said


def _message(record: Mapping[str, Any], key: str, before: str | None) -> Said:
    text = _text(record.get("content"))
    role = ROLES.get(str(record.get("role")))
    model = line(record.get("model") or record.get("modelName"), 200) if role is Role.ASSISTANT else None
    return Said(
        key=key,
        parent=name(record.get("parentId")) or before,
        role=role if text else None,
        text=text,
        created_at=moment(record.get("timestamp")),
        origin=name(record.get("id")) or name(key),
        runs=[{"model": model}] if model else [],
    )


def _text(content: object) -> str:
    if isinstance(content, str):
        return written(content)
    parts = [mapping(part).get("text") for part in listing(content)]
    return written("\n\n".join(part for part in parts if isinstance(part, str)))
