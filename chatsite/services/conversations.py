"""Conversations: list, find, rename, delete. They begin in `messages.start`."""

from __future__ import annotations

import unicodedata

from sqlalchemy import ColumnElement, delete, select, text, tuple_

from chatsite.database import db, now, write
from chatsite.errors import ConversationGoneError, EmptyTitleError, TitleTooLongError
from chatsite.models import Conversation, User
from chatsite.models.conversation import LISTED, TITLE_CHARS
from chatsite.services.paging import Page, cursor, parse_cursor

PAGE_SIZE = 30


def page(user: User, before: str | None = None, size: int = PAGE_SIZE) -> Page[Conversation]:
    """The user's conversations, the last used first, `size` at a time.

    `before` is the `next` of the page before. Raises NotFoundError when it is not a cursor.
    """
    place = tuple_(Conversation.updated_at, Conversation.id)
    query = select(Conversation).where(Conversation.user_id == user.id, text(LISTED))
    if before:
        query = query.where(place < tuple_(*parse_cursor(before)))
    newest_first = query.order_by(Conversation.updated_at.desc(), Conversation.id.desc())
    rows = db.session.scalars(newest_first.limit(size + 1)).all()
    more = len(rows) > size
    rows = rows[:size]
    return Page(rows, cursor(rows[-1].updated_at, rows[-1].id) if more else None)


def alive() -> ColumnElement[bool]:
    """What is true of conversations that are neither in the trash nor past their time."""
    return Conversation.deleted_at.is_(None) & (Conversation.expires_at.is_(None) | (Conversation.expires_at > now()))


def find(user: User | None, public_id: str) -> Conversation | None:
    """The user's conversation of that name, or None."""
    if user is None:
        return None
    return db.session.scalar(
        select(Conversation).where(Conversation.public_id == public_id, Conversation.user_id == user.id, alive())
    )


def get(user: User | None, public_id: str) -> Conversation:
    """The user's conversation of that name. Raises ConversationGoneError when the user has none."""
    found = find(user, public_id)
    if found is None:
        raise ConversationGoneError
    return found


def lock(conversation_id: int, user_id: int) -> Conversation:
    """The conversation as it is now, held until the write ends. Raises ConversationGoneError."""
    found = db.session.scalar(
        select(Conversation)
        .where(Conversation.id == conversation_id, Conversation.user_id == user_id, alive())
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise ConversationGoneError
    return found


def rename(conversation: Conversation, title: str) -> Conversation:
    """Give the conversation another title. Raises EmptyTitleError, TitleTooLongError or ConversationGoneError."""
    title = " ".join("".join(c if unicodedata.category(c)[0] != "C" else " " for c in title).split())
    if not title:
        raise EmptyTitleError
    if len(title) > TITLE_CHARS:
        raise TitleTooLongError(most=TITLE_CHARS)
    conversation_id, user_id = conversation.id, conversation.user_id
    with write():
        found = lock(conversation_id, user_id)
        found.title = title
        return found


def destroy(conversation: Conversation) -> None:
    """Delete the conversation and all that is in it; a second time does nothing."""
    conversation_id, user_id = conversation.id, conversation.user_id
    with write() as session:
        session.execute(delete(Conversation).where(Conversation.id == conversation_id, Conversation.user_id == user_id))
