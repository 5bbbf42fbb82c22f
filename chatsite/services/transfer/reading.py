"""The conversations of a user on their way out: in short batches, each of which holds the database for a moment only.

Between two batches nothing is held, so whoever reads may be slow; and no more than a batch is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import aliased

from chatsite.database import db
from chatsite.models import ACTIVE, Conversation, ConversationTag, Generation, Message, Persona, Status, Tag

HEADS = 100
LINES = 500

HEAD = (
    Conversation.id,
    Conversation.public_id,
    Conversation.origin,
    Conversation.title,
    Conversation.created_at,
    Conversation.updated_at,
    Conversation.archived_at,
    Conversation.pinned,
    Conversation.model,
    Conversation.preset,
    Conversation.persona,
    Conversation.instructions,
    Conversation.numbers,
)
# What an answer that is still being written has for certain.
BEGUN = ("model", "preset", "persona", "instructions", "numbers", "takes_over", "resets", "created_at")
RUN = (
    "status",
    *BEGUN,
    "started_at",
    "first_token_at",
    "finished_at",
    "finish_reason",
    "error",
    "tokens",
    "tokens_per_second",
    "rating",
    "rating_note",
    "receipt",
)


@dataclass(frozen=True)
class Head:
    """A conversation without its messages: a row of the columns `HEAD`, and the names of its tags."""

    row: Row[Any]
    tags: Sequence[str]


@dataclass(frozen=True)
class Line:
    """A message: its columns and its parent's public id, and its generations as values by the names in `RUN`."""

    row: Row[Any]
    runs: Sequence[dict[str, Any]]


def heads(user_id: int, only: int | None = None) -> Iterator[Head]:
    """A user's conversations, the oldest row first, or the one with the id `only`.

    What is in the trash is left out, and so is what is temporary.
    """
    kept = Conversation.deleted_at.is_(None), Conversation.expires_at.is_(None)
    query = select(*HEAD).where(Conversation.user_id == user_id, *kept).order_by(Conversation.id).limit(HEADS)
    query = query if only is None else query.where(Conversation.id == only)
    last = 0
    while rows := _all(query.where(Conversation.id > last)):
        tags = _tags([row.id for row in rows])
        yield from (Head(row, tags.get(row.id, ())) for row in rows)
        last = rows[-1].id


def lines(conversation_id: int) -> Iterator[Line]:
    """All messages of a conversation, of all branches, each after its parent."""
    above = aliased(Message)
    columns = Message.id, Message.public_id, Message.shown, Message.comparing, Message.role, Message.text
    query = (
        select(*columns, Message.created_at, Message.origin, Message.parent_id, above.public_id.label("parent"))
        .join(above, above.id == Message.parent_id, isouter=True)
        .where(Message.conversation_id == conversation_id)
        .order_by(Message.id)
        .limit(LINES)
    )
    last = 0
    while rows := _all(query.where(Message.id > last)):
        runs = _runs([row.id for row in rows])
        yield from (Line(row, runs.get(row.id, ())) for row in rows)
        last = rows[-1].id


def branch(conversation_id: int) -> Iterator[Line]:
    """The messages of the branch that is shown, from its beginning."""
    last: int | None = None
    for line in lines(conversation_id):
        if line.row.shown and line.row.parent_id == last:
            last = line.row.id
            yield line


def tags(user_id: int, conversation_id: int | None = None) -> Sequence[Row[Any]]:
    """A user's tags, or those of one conversation: name, color, created_at."""
    query = select(Tag.name, Tag.color, Tag.created_at).where(Tag.user_id == user_id).order_by(Tag.id)
    if conversation_id is not None:
        has = select(ConversationTag.tag_id).where(ConversationTag.conversation_id == conversation_id)
        query = query.where(Tag.id.in_(has))
    return _all(query)


def personas(user_id: int) -> Sequence[Row[Any]]:
    """A user's personas."""
    columns = Persona.name, Persona.instructions, Persona.model, Persona.preset, Persona.numbers, Persona.created_at
    return _all(select(*columns).where(Persona.user_id == user_id).order_by(Persona.id))


def _tags(conversation_ids: Sequence[int]) -> dict[int, list[str]]:
    query = (
        select(ConversationTag.conversation_id, Tag.name)
        .join(Tag, Tag.id == ConversationTag.tag_id)
        .where(ConversationTag.conversation_id.in_(conversation_ids))
        .order_by(ConversationTag.conversation_id, Tag.id)
    )
    found: dict[int, list[str]] = {}
    for row in _all(query):
        found.setdefault(row.conversation_id, []).append(row.name)
    return found


def _runs(message_ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    columns = [Generation.__table__.c[name] for name in RUN]
    query = select(Generation.message_id, *columns).where(Generation.message_id.in_(message_ids))
    found: dict[int, list[dict[str, Any]]] = {}
    for row in _all(query.order_by(Generation.id)):
        values = dict(row._mapping)
        message_id = values.pop("message_id")
        found.setdefault(message_id, []).append(_settled(values) if row.status in ACTIVE else values)
    return found


def _settled(values: dict[str, Any]) -> dict[str, Any]:
    """A run that is still going on, as if it had been interrupted before it wrote anything."""
    begun = {name: values[name] if name in BEGUN else None for name in RUN}
    return {**begun, "status": Status.INTERRUPTED, "tokens": 0}


def _all(query: Any) -> Sequence[Row[Any]]:
    """All rows of a query; nothing of the database is held once they are read."""
    rows: Sequence[Row[Any]] = db.session.execute(query).all()
    db.session.rollback()
    return rows
