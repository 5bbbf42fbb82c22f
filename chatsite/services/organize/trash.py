"""Trash: deleted conversations stay for thirty days and can be restored.

A purged conversation has the earliest possible `deleted_at`, EPOCH: it is visible nowhere from then on, and the cleanup
task deletes it in small steps, however long it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Delete, delete, select, text, update

from chatsite.database import WriteSession, db, truncate_wal, utcnow, write_transaction
from chatsite.models import AnonymousUser, Conversation, Message, Undo, User, Visitor
from chatsite.models.conversation import TRASHED_CONDITION
from chatsite.services import undo
from chatsite.services.chat import conversations, generations
from chatsite.services.pagination import BATCH_SIZE, EPOCH, Page, page_by_time

RETENTION = timedelta(days=30)
# Conversations that one write transaction of the cleanup task looks at.
CONVERSATIONS_PER_PURGE = 100


def move_to_trash(user: User, public_ids: Sequence[str]) -> Undo:
    """Move conversations to the trash, stop their answers, and return the recorded undo.

    Raises NothingSelectedError, TooManySelectedError, TemporaryChatError or ConversationNotFoundError.
    """
    user_id = user.id
    with write_transaction() as tx:
        recorded = conversations.bulk_update(user, public_ids, "delete", deleted_at=utcnow())
        generations.stop_for_conversations(tx, user_id, {entry["conversation"] for entry in recorded.previous})
        return recorded


def list_page(user: Visitor, before: str | None = None, size: int = conversations.PAGE_SIZE) -> Page[Conversation]:
    """Return a page of the user's trash, the last deleted first.

    `before` is the `next` of the page before. Raises NotFoundError if it is not a cursor.
    """
    if isinstance(user, AnonymousUser):
        return Page([])
    query = select(Conversation).where(Conversation.user_id == user.id, text(TRASHED_CONDITION), in_trash_clause())
    return page_by_time(query, Conversation.deleted_at, Conversation.id, before=before, size=size)


def restore(user: User, public_ids: Sequence[str]) -> Undo:
    """Take conversations out of the trash, and return the recorded undo.

    Raises NothingSelectedError, TooManySelectedError or ConversationNotFoundError.
    """
    return conversations.bulk_update(user, public_ids, "restore", condition=in_trash_clause(), deleted_at=None)


def delete_forever(user: User, public_ids: Sequence[str]) -> None:
    """Purge conversations in the trash.

    Raises NothingSelectedError, TooManySelectedError or ConversationNotFoundError.
    """
    user_id = user.id
    with write_transaction() as tx:
        for row in conversations.lock_many(tx, user_id, public_ids, condition=in_trash_clause()):
            row.deleted_at = EPOCH
        # Undo records of renames contain titles, which must not outlive their conversations.
        undo.discard_changes(tx, user_id, "rename")
    purge_due()


def empty(user: User) -> None:
    """Purge all conversations in the user's trash."""
    user_id = user.id
    with write_transaction() as tx:
        undo.discard_changes(tx, user_id, "rename")
    while _mark_for_purge(user_id):
        pass
    purge_due()


def purge_due(max_messages: int = BATCH_SIZE) -> bool:
    """Delete up to `max_messages` messages of conversations that were purged or in the trash for thirty days.

    Conversations without further messages are deleted too. Returns whether there may be more.
    """
    with write_transaction() as tx:
        due_ids = select(Conversation.id).where(text(TRASHED_CONDITION), Conversation.deleted_at <= _oldest_kept())
        ids = tx.scalars(due_ids.order_by(Conversation.deleted_at).limit(CONVERSATIONS_PER_PURGE)).all()
        emptied_count = purge_messages(tx, ids, max_messages)
    if ids:
        truncate_wal()
    return emptied_count < len(ids) or len(ids) == CONVERSATIONS_PER_PURGE


def purge_messages(tx: WriteSession, conversation_ids: Sequence[int], max_messages: int) -> int:
    """Delete up to `max_messages` messages of conversations, and the conversations that have no others.

    Returns the number of conversations that were deleted.
    """
    messages, emptied = _select_purgeable(conversation_ids, max_messages)
    tx.execute(_delete_quietly(Message).where(Message.id.in_(messages)))
    tx.execute(_delete_quietly(Conversation).where(Conversation.id.in_(emptied)))
    return len(emptied)


def purge_at(conversation: Conversation) -> datetime:
    """Return the moment at which a conversation in the trash is due to be purged."""
    return (conversation.deleted_at or utcnow()) + RETENTION


def in_trash_clause() -> ColumnElement[bool]:
    """Return the SQL condition that a conversation is in the trash and can be restored."""
    return Conversation.deleted_at > _oldest_kept()


def _oldest_kept() -> datetime:
    return utcnow() - RETENTION


def _mark_for_purge(user_id: int) -> bool:
    """Mark a batch of the user's trash as purged. Returns whether there may be more."""
    with write_transaction() as tx:
        trashed = select(Conversation.id).where(
            Conversation.user_id == user_id, text(TRASHED_CONDITION), in_trash_clause()
        )
        ids = tx.scalars(trashed.order_by(Conversation.deleted_at.desc()).limit(BATCH_SIZE)).all()
        rows = update(Conversation).where(Conversation.id.in_(ids)).values(deleted_at=EPOCH)
        tx.execute(rows.execution_options(synchronize_session=False))
        return len(ids) == BATCH_SIZE


def _select_purgeable(ids: Sequence[int], max_messages: int) -> tuple[list[int], list[int]]:
    """Return the ids of up to `max_messages` messages, newest first, and of the conversations that have no others."""
    messages: list[int] = []
    emptied: list[int] = []
    for conversation_id in ids:
        # Newest first: the foreign key keeps a message from being deleted before the ones below it.
        newest_first = select(Message.id).where(Message.conversation_id == conversation_id).order_by(Message.id.desc())
        message_ids = db.session.scalars(newest_first.limit(max_messages - len(messages) + 1)).all()
        messages += message_ids[: max_messages - len(messages)]
        if len(messages) == max_messages:
            break
        emptied.append(conversation_id)
    return messages, emptied


def _delete_quietly(model: type[Conversation | Message]) -> Delete:
    return delete(model).execution_options(synchronize_session=False)
