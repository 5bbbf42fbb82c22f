"""Conversations: list, find, rename, pin and archive them.

`messages.start_conversation` creates them, and `services.organize.trash` deletes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, literal, select, text, tuple_, update

from chatsite.database import UTCDateTime, WriteSession, db, utcnow, write_transaction
from chatsite.errors import (
    ConversationNotFoundError,
    EmptyTitleError,
    NothingSelectedError,
    TemporaryChatError,
    TitleTooLongError,
    TooManySelectedError,
)
from chatsite.models import AnonymousUser, Conversation, ConversationTag, Tag, TitleSource, Undo, User, Visitor
from chatsite.models.conversation import ARCHIVED_CONDITION, LISTED_CONDITION, MAX_TITLE_CHARS
from chatsite.services import leases, undo
from chatsite.services.ownership import find_owned
from chatsite.services.pagination import Page, decode_cursor, encode_cursor, page_by_time
from chatsite.visible_text import visible_line

PAGE_SIZE = 30
# How long a temporary chat lasts after the last message of its user.
TEMPORARY_LIFETIME = timedelta(hours=1)
# A bulk action must remain one short write transaction.
MAX_SELECTED = 500
# Marks cursors in the pinned part of the list, which come before all others.
PINNED_CURSOR_PREFIX = "p"


def list_page(user: Visitor, before: str | None = None, size: int = PAGE_SIZE) -> Page[Conversation]:
    """Return a page of the user's listed conversations: pinned ones first, then by last use, newest first.

    `before` is the `next` of the page before, `size` the length of the page. Raises NotFoundError if `before` is not a
    cursor.
    """
    if isinstance(user, AnonymousUser):
        return Page([])
    sort_columns = (Conversation.pinned, Conversation.updated_at, Conversation.id)
    query = select(Conversation).where(Conversation.user_id == user.id, text(LISTED_CONDITION))
    if before:
        updated_at, row_id = decode_cursor(before.removeprefix(PINNED_CURSOR_PREFIX))
        last_position = (
            literal(before.startswith(PINNED_CURSOR_PREFIX)),
            literal(updated_at, UTCDateTime()),
            literal(row_id),
        )
        query = query.where(tuple_(*sort_columns) < tuple_(*last_position))
    rows = db.session.scalars(query.order_by(*(column.desc() for column in sort_columns)).limit(size + 1)).all()
    return Page(rows[:size], _encode_cursor(rows[size - 1]) if len(rows) > size else None)


def list_recent(user: Visitor, size: int) -> list[Conversation]:
    """Return the user's `size` listed conversations that were used last, pinned or not, newest first."""
    if isinstance(user, AnonymousUser):
        return []
    # The index sorts by `pinned` first, so the newest of each part are read and merged, which reads 2 * size rows.
    rows = [
        row
        for pinned in (True, False)
        for row in db.session.scalars(
            select(Conversation)
            .where(Conversation.user_id == user.id, text(LISTED_CONDITION), Conversation.pinned.is_(pinned))
            .order_by(Conversation.updated_at.desc(), Conversation.id.desc())
            .limit(size)
        )
    ]
    return sorted(rows, key=lambda row: (row.updated_at, row.id), reverse=True)[:size]


def list_tagged(user: Visitor, tag: Tag, before: str | None = None, *, size: int = PAGE_SIZE) -> Page[Conversation]:
    """Return a page of the user's listed conversations with a tag, by last use, newest first.

    `before` is the `next` of the page before. Raises NotFoundError if it is not a cursor.
    """
    if isinstance(user, AnonymousUser):
        return Page([])
    tag_links = select(ConversationTag).where(ConversationTag.tag_id == tag.id)
    listed = select(Conversation.id).where(
        Conversation.id == ConversationTag.conversation_id, Conversation.user_id == user.id, text(LISTED_CONDITION)
    )
    tagged_page = page_by_time(
        tag_links.where(listed.exists()),
        ConversationTag.updated_at,
        ConversationTag.conversation_id,
        before=before,
        size=size,
    )
    ids = [tag_link.conversation_id for tag_link in tagged_page.items]
    if not ids:
        return Page([])
    rows = {row.id: row for row in db.session.scalars(select(Conversation).where(Conversation.id.in_(ids)))}
    return Page([rows[each] for each in ids], tagged_page.next)


def list_archived(user: Visitor, before: str | None = None, size: int = PAGE_SIZE) -> Page[Conversation]:
    """Return a page of the user's archived conversations, the last archived first.

    `before` is the `next` of the page before. Raises NotFoundError if it is not a cursor.
    """
    if isinstance(user, AnonymousUser):
        return Page([])
    query = select(Conversation).where(Conversation.user_id == user.id, text(ARCHIVED_CONDITION))
    return page_by_time(query, Conversation.archived_at, Conversation.id, before=before, size=size)


def visible_clause() -> ColumnElement[bool]:
    """Return the SQL condition that a conversation is neither in the trash nor expired."""
    return Conversation.deleted_at.is_(None) & (
        Conversation.expires_at.is_(None) | (Conversation.expires_at > leases.current_time())
    )


def find(user: Visitor, public_id: str) -> Conversation | None:
    """Return the user's conversation with this public id; None if there is none, or it is in the trash or expired."""
    return find_owned(Conversation, user, public_id, condition=visible_clause())


def get(user: Visitor, public_id: str) -> Conversation:
    """Return the user's conversation with this public id. Raises ConversationNotFoundError."""
    conversation = find(user, public_id)
    if conversation is None:
        raise ConversationNotFoundError
    return conversation


def lock(tx: WriteSession, conversation_id: int, user_id: int) -> Conversation:
    """Read a conversation again and lock its row until the transaction ends. Raises ConversationNotFoundError."""
    conversation = tx.scalar(
        select(Conversation)
        .where(Conversation.id == conversation_id, Conversation.user_id == user_id, visible_clause())
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if conversation is None:
        raise ConversationNotFoundError
    return conversation


def lock_many(
    tx: WriteSession, user_id: int, public_ids: Sequence[str], *, condition: ColumnElement[bool] | None = None
) -> Sequence[Conversation]:
    """Read the user's conversations with these public ids and lock their rows until the transaction ends.

    `condition` selects among them; by default the visible ones. Raises NothingSelectedError without ids,
    TooManySelectedError, TemporaryChatError if one of them is temporary, or ConversationNotFoundError if the user has
    none of them.
    """
    if not public_ids:
        raise NothingSelectedError
    if len(public_ids) > MAX_SELECTED:
        raise TooManySelectedError(most=MAX_SELECTED)
    query = select(Conversation).where(Conversation.public_id.in_(public_ids), Conversation.user_id == user_id)
    query = query.where(visible_clause() if condition is None else condition)
    # Always in the same order, so that two changes of the same conversations cannot deadlock.
    ordered = query.order_by(Conversation.id).with_for_update()
    rows = tx.scalars(ordered.execution_options(populate_existing=True)).all()
    if not rows:
        raise ConversationNotFoundError
    for row in rows:
        require_permanent(row)
    return rows


def require_permanent(conversation: Conversation) -> None:
    """Raise TemporaryChatError for a temporary chat, which must leave nothing behind."""
    if conversation.expires_at is not None:
        raise TemporaryChatError


def bulk_update(
    user: User, public_ids: Sequence[str], action: str, *, condition: ColumnElement[bool] | None = None, **values: Any
) -> Undo:
    """Set columns of the user's conversations with these public ids, and return the recorded undo.

    `action` names the change in the undo record, `condition` selects the conversations that may be changed, and
    `values` are the new values by column name. Raises NothingSelectedError, TooManySelectedError, TemporaryChatError or
    ConversationNotFoundError.
    """
    user_id = user.id
    with write_transaction() as tx:
        rows = lock_many(tx, user_id, public_ids, condition=condition)
        previous = [undo.snapshot_columns(row, *values) for row in rows]
        for row in rows:
            for name, value in values.items():
                setattr(row, name, value)
        return undo.record_change(tx, user_id, action, previous=previous)


def set_pinned(user: User, public_ids: Sequence[str], pinned: bool = True) -> Undo:
    """Pin conversations to the top of the list, or unpin them, and return the recorded undo.

    Raises NothingSelectedError, TooManySelectedError, TemporaryChatError or ConversationNotFoundError.
    """
    return bulk_update(user, public_ids, "pin" if pinned else "unpin", pinned=pinned)


def set_archived(user: User, public_ids: Sequence[str], archived: bool = True) -> Undo:
    """Move conversations to the archive, or back into the list, and return the recorded undo.

    Raises NothingSelectedError, TooManySelectedError, TemporaryChatError or ConversationNotFoundError.
    """
    return bulk_update(
        user, public_ids, "archive" if archived else "unarchive", archived_at=utcnow() if archived else None
    )


def rename(conversation: Conversation, title: str) -> Undo:
    """Give a conversation another title, and return the recorded undo.

    Raises EmptyTitleError, TitleTooLongError, TemporaryChatError or ConversationNotFoundError.
    """
    title = visible_line(title)
    if not title:
        raise EmptyTitleError
    if len(title) > MAX_TITLE_CHARS:
        raise TitleTooLongError(most=MAX_TITLE_CHARS)
    return bulk_update(
        conversation.user, [conversation.public_id], "rename", title=title, title_source=TitleSource.PERSON
    )


def touch(tx: WriteSession, conversation: Conversation, used_at: datetime | None = None) -> None:
    """Set the time of last use of a conversation to now, or to `used_at`, and renew the lifetime of a temporary chat.

    Who uses it has seen it. Hosts whose clocks differ must agree on when a temporary chat is over.

    The links to its tags store the same time, so that the list of a tag is sorted without a join.
    """
    is_temporary = conversation.expires_at is not None
    used_at = used_at or (leases.read_time() if is_temporary else utcnow())
    conversation.updated_at = conversation.read_at = used_at
    if is_temporary:
        conversation.expires_at = used_at + TEMPORARY_LIFETIME
    tag_links = update(ConversationTag).where(ConversationTag.conversation_id == conversation.id)
    tx.execute(tag_links.values(updated_at=conversation.updated_at))


def _encode_cursor(row: Conversation) -> str:
    return (PINNED_CURSOR_PREFIX if row.pinned else "") + encode_cursor(row.updated_at, row.id)
