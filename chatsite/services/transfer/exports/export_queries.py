"""Queries of an export, in short batches, each of which holds a database connection for a moment only.

Between two batches nothing is held, so the reader of the export may be slow, and at most a batch is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import aliased

from chatsite.database import db
from chatsite.models import (
    IN_PROGRESS,
    Conversation,
    ConversationTag,
    Generation,
    Message,
    MessageReasoning,
    Persona,
    Status,
    Tag,
)
from chatsite.services.chat import generation_progress
from chatsite.services.chat.generation_progress import GenerationSnapshot
from chatsite.services.transfer.exports.export_rows import ConversationRow, MessageRow, ReasoningRow

CONVERSATION_BATCH_SIZE = 100
MESSAGE_BATCH_SIZE = 500

CONVERSATION_COLUMNS = (
    Conversation.id,
    Conversation.public_id,
    Conversation.import_source_id.label("origin"),
    Conversation.title,
    Conversation.created_at,
    Conversation.updated_at,
    Conversation.archived_at,
    Conversation.pinned,
    Conversation.model,
    Conversation.preset,
    Conversation.persona,
    Conversation.instructions,
    Conversation.generation_options.label("numbers"),
)
# Columns that were renamed in the database; the export format is a contract and keeps the old names.
EXPORT_NAMES = {
    "numbers": "generation_options",
    "takes_over": "model_changed",
    "resets": "settings_changed",
    "tokens": "token_count",
    "receipt": "prompt_report",
}
# Columns that do not change while an answer is being written.
STARTED_GENERATION_COLUMNS = (
    "model",
    "preset",
    "persona",
    "instructions",
    "numbers",
    "takes_over",
    "resets",
    "created_at",
)
GENERATION_COLUMNS = (
    "status",
    *STARTED_GENERATION_COLUMNS,
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


def iter_conversations(user_id: int, conversation_id: int | None = None) -> Iterator[ConversationRow]:
    """Yield a user's conversations, the oldest row first, or only the one with the id `conversation_id`.

    Conversations in the trash and temporary chats are left out.
    """
    query = _select_exportable(user_id, conversation_id, *CONVERSATION_COLUMNS)
    query = query.order_by(Conversation.id).limit(CONVERSATION_BATCH_SIZE)
    last_id = 0
    while rows := _fetch_all(query.where(Conversation.id > last_id)):
        yield from _with_tags(rows)
        last_id = rows[-1].id


def list_newest_first(user_id: int, conversation_id: int | None = None) -> Sequence[int]:
    """Return the row ids of the conversations that `iter_conversations` yields, in the order of their age."""
    query = _select_exportable(user_id, conversation_id, Conversation.id)
    newest_first = Conversation.created_at.desc(), Conversation.id.desc()
    return [row.id for row in _fetch_all(query.order_by(*newest_first))]


def iter_conversations_by_id(user_id: int, ids: Sequence[int]) -> Iterator[ConversationRow]:
    """Yield a user's conversations by their row ids, in the order of the ids, without those deleted meanwhile."""
    query = _select_exportable(user_id, None, *CONVERSATION_COLUMNS)
    for start in range(0, len(ids), CONVERSATION_BATCH_SIZE):
        batch = ids[start : start + CONVERSATION_BATCH_SIZE]
        rows = {row.id: row for row in _fetch_all(query.where(Conversation.id.in_(batch)))}
        yield from _with_tags([rows[conversation_id] for conversation_id in batch if conversation_id in rows])


def iter_messages(conversation_id: int) -> Iterator[MessageRow]:
    """Yield all messages of a conversation, of all branches, each after its parent."""
    query = _select_messages().where(Message.conversation_id == conversation_id).limit(MESSAGE_BATCH_SIZE)
    last_id = 0
    while rows := _fetch_all(query.where(Message.id > last_id)):
        yield from _with_generations(rows)
        last_id = rows[-1].id


def iter_messages_by_id(ids: Sequence[int]) -> Iterator[MessageRow]:
    """Yield the messages of a branch by their row ids, from its beginning; those that were deleted are left out."""
    for start in range(0, len(ids), MESSAGE_BATCH_SIZE):
        yield from _with_generations(
            _fetch_all(_select_messages().where(Message.id.in_(ids[start : start + MESSAGE_BATCH_SIZE])))
        )


def iter_branch(conversation_id: int) -> Iterator[MessageRow]:
    """Yield the messages of the active branch from its beginning."""
    last_id: int | None = None
    for line in iter_messages(conversation_id):
        if line.row.shown and line.row.parent_id == last_id:
            last_id = line.row.id
            yield line


def list_branch_models(conversation_id: int) -> list[str]:
    """Return the models that wrote the answers of the active branch, in the order of their first answers."""
    # Where nobody chose a model, the report says which one it was.
    model = func.coalesce(Generation.model, Generation.prompt_report["model"].as_string()).label("model")
    query = (
        select(Message.id, Message.parent_id, model)
        .join(Generation, (Generation.message_id == Message.id) & Generation.is_latest, isouter=True)
        .where(Message.conversation_id == conversation_id, Message.is_active)
        .order_by(Message.id)
        .limit(MESSAGE_BATCH_SIZE)
    )
    models: dict[str, None] = {}
    branch_end: int | None = None
    last_id = 0
    while rows := _fetch_all(query.where(Message.id > last_id)):
        last_id = rows[-1].id
        for row in rows:
            if row.parent_id == branch_end:
                branch_end = row.id
                models |= {row.model: None} if row.model else {}
    return list(models)


def list_tags(user_id: int, conversation_id: int | None = None) -> Sequence[Row[Any]]:
    """Return name, color and creation time of a user's tags, or of the tags of one conversation."""
    query = select(Tag.name, Tag.color, Tag.created_at).where(Tag.user_id == user_id).order_by(Tag.id)
    if conversation_id is not None:
        tag_ids = select(ConversationTag.tag_id).where(ConversationTag.conversation_id == conversation_id)
        query = query.where(Tag.id.in_(tag_ids))
    return _fetch_all(query)


def list_personas(user_id: int) -> Sequence[Row[Any]]:
    """Return name, settings, model choice and creation time of a user's personas."""
    columns = (
        Persona.name,
        Persona.instructions,
        Persona.model,
        Persona.preset,
        Persona.generation_options.label("numbers"),
        Persona.created_at,
    )
    return _fetch_all(select(*columns).where(Persona.user_id == user_id).order_by(Persona.id))


def _select_exportable(user_id: int, conversation_id: int | None, *columns: Any) -> Select[*tuple[Any, ...]]:
    is_exportable = Conversation.deleted_at.is_(None), Conversation.expires_at.is_(None)
    query = select(*columns).where(Conversation.user_id == user_id, *is_exportable)
    return query if conversation_id is None else query.where(Conversation.id == conversation_id)


def _with_tags(rows: Sequence[Row[Any]]) -> Iterator[ConversationRow]:
    tags = _tag_names([row.id for row in rows])
    return (ConversationRow(row, tags.get(row.id, ())) for row in rows)


def _select_messages() -> Select[*tuple[Any, ...]]:
    """Return the query of messages with the columns of MessageRow, in the order of their row ids."""
    parent = aliased(Message)
    columns = (
        *(Message.id, Message.public_id, Message.parent_id, Message.role, Message.text, Message.created_at),
        Message.is_active.label("shown"),
        Message.in_comparison.label("comparing"),
        Message.import_source_id.label("origin"),
        parent.public_id.label("parent"),
    )
    return select(*columns).join(parent, parent.id == Message.parent_id, isouter=True).order_by(Message.id)


def _with_generations(rows: Sequence[Row[Any]]) -> Iterator[MessageRow]:
    message_ids = [row.id for row in rows]
    generations, reasonings = _load_generations(message_ids), _load_reasonings(message_ids)
    unfinished = _load_unfinished(message_ids)
    for row in rows:
        snapshot, reasoning = unfinished.get(row.id), reasonings.get(row.id)
        text = row.text + (snapshot.text if snapshot else "")
        if snapshot and snapshot.reasoning and reasoning is None:
            reasoning = ReasoningRow(snapshot.reasoning, snapshot.reasoning_tokens or None, snapshot.reasoning_seconds)
        yield MessageRow(row, generations.get(row.id, ()), text, reasoning)


def _tag_names(conversation_ids: Sequence[int]) -> dict[int, list[str]]:
    query = (
        select(ConversationTag.conversation_id, Tag.name)
        .join(Tag, Tag.id == ConversationTag.tag_id)
        .where(ConversationTag.conversation_id.in_(conversation_ids))
        .order_by(ConversationTag.conversation_id, Tag.id)
    )
    names: dict[int, list[str]] = {}
    for row in _fetch_all(query):
        names.setdefault(row.conversation_id, []).append(row.name)
    return names


def _load_generations(message_ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    columns = [Generation.__table__.c[EXPORT_NAMES.get(name, name)].label(name) for name in GENERATION_COLUMNS]
    query = select(Generation.message_id, *columns).where(Generation.message_id.in_(message_ids))
    generations: dict[int, list[dict[str, Any]]] = {}
    for row in _fetch_all(query.order_by(Generation.id)):
        values = dict(row._mapping)
        message_id = values.pop("message_id")
        generations.setdefault(message_id, []).append(_as_interrupted(values) if row.status in IN_PROGRESS else values)
    return generations


def _load_reasonings(message_ids: Sequence[int]) -> dict[int, ReasoningRow]:
    table = MessageReasoning
    query = select(table.message_id, table.text, table.token_count, table.seconds)
    rows = _fetch_all(query.where(table.message_id.in_(message_ids)))
    return {row.message_id: ReasoningRow(row.text, row.token_count, row.seconds) for row in rows}


def _load_unfinished(message_ids: Sequence[int]) -> dict[int, GenerationSnapshot]:
    """Return what answers in progress have that is not part of their messages yet, by message id."""
    running = Generation.message_id.in_(message_ids), Generation.status.in_(IN_PROGRESS)
    ids = {row.id: row.message_id for row in _fetch_all(select(Generation.id, Generation.message_id).where(*running))}
    snapshots = generation_progress.take_snapshots(dict.fromkeys(ids, 0))
    db.session.rollback()
    return {ids[snapshot.id]: snapshot for snapshot in snapshots}


def _as_interrupted(values: dict[str, Any]) -> dict[str, Any]:
    """Return a generation in progress as if it had been interrupted."""
    started_values = {name: values[name] if name in STARTED_GENERATION_COLUMNS else None for name in GENERATION_COLUMNS}
    return {**started_values, "status": Status.INTERRUPTED, "tokens": 0}


def _fetch_all(query: Any) -> Sequence[Row[Any]]:
    """Return all rows of a query, and give the connection back at once."""
    rows: Sequence[Row[Any]] = db.session.execute(query).all()
    db.session.rollback()
    return rows
