"""Conversations: list, find, rename, pin, archive, delete. They begin in `messages.start`, and end in `trash`."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, literal, select, text, tuple_, update

from chatsite.database import Moment, db, now, write
from chatsite.errors import (
    ConversationGoneError,
    EmptyTitleError,
    NothingChosenError,
    TemporaryChatError,
    TitleTooLongError,
    TooManyChosenError,
)
from chatsite.models import Conversation, ConversationTag, Tag, Undo, User
from chatsite.models.conversation import ARCHIVED, LISTED, TITLE_CHARS
from chatsite.services import undos
from chatsite.services.paging import Page, cursor, newest, parse_cursor

PAGE_SIZE = 30
# How long a temporary conversation outlives the last word that its user wrote in it.
LIFE = timedelta(hours=1)
# One change of many conversations is one short write all the same.
MOST_CHOSEN = 500
# A cursor in the pinned part of the list begins with it.
PINNED = "p"


def page(user: User, before: str | None = None, size: int = PAGE_SIZE) -> Page[Conversation]:
    """The user's conversations, those that are pinned first, then the last used first, `size` at a time.

    `before` is the `next` of the page before. Raises NotFoundError when it is not a cursor.
    """
    place = (Conversation.pinned, Conversation.updated_at, Conversation.id)
    query = select(Conversation).where(Conversation.user_id == user.id, text(LISTED))
    if before:
        moment, row_id = parse_cursor(before.removeprefix(PINNED))
        last = (literal(before.startswith(PINNED)), literal(moment, Moment()), literal(row_id))
        query = query.where(tuple_(*place) < tuple_(*last))
    rows = db.session.scalars(query.order_by(*(part.desc() for part in place)).limit(size + 1)).all()
    return Page(rows[:size], _cursor(rows[size - 1]) if len(rows) > size else None)


def recent(user: User, size: int) -> list[Conversation]:
    """Those of the list that were used last, whether they are pinned or not."""
    # Pinned ones and others lie apart in the index: the newest of both are among the newest of each.
    rows = [
        row
        for pinned in (True, False)
        for row in db.session.scalars(
            select(Conversation)
            .where(Conversation.user_id == user.id, text(LISTED), Conversation.pinned.is_(pinned))
            .order_by(Conversation.updated_at.desc(), Conversation.id.desc())
            .limit(size)
        )
    ]
    return sorted(rows, key=lambda row: (row.updated_at, row.id), reverse=True)[:size]


def tagged(user: User, tag: Tag, before: str | None = None, size: int = PAGE_SIZE) -> Page[Conversation]:
    """Those of the list that have a tag, the last used first. Raises NotFoundError as `page` does."""
    marks = select(ConversationTag).where(ConversationTag.tag_id == tag.id)
    listed = select(Conversation.id).where(
        Conversation.id == ConversationTag.conversation_id, Conversation.user_id == user.id, text(LISTED)
    )
    found = newest(
        marks.where(listed.exists()), ConversationTag.updated_at, ConversationTag.conversation_id, before, size
    )
    ids = [mark.conversation_id for mark in found.items]
    if not ids:
        return Page([])
    rows = {row.id: row for row in db.session.scalars(select(Conversation).where(Conversation.id.in_(ids)))}
    return Page([rows[each] for each in ids], found.next)


def archived(user: User, before: str | None = None, size: int = PAGE_SIZE) -> Page[Conversation]:
    """The user's archived conversations, the last archived first. Raises NotFoundError as `page` does."""
    query = select(Conversation).where(Conversation.user_id == user.id, text(ARCHIVED))
    return newest(query, Conversation.archived_at, Conversation.id, before, size)


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


def hold(user_id: int, names: Sequence[str], which: ColumnElement[bool] | None = None) -> Sequence[Conversation]:
    """The conversations of those names that the user has, held until the write ends.

    `which` says what must be true of them: that they are alive, unless it is said. Raises NothingChosenError,
    TooManyChosenError, TemporaryChatError, or ConversationGoneError when none of them is the user's.
    """
    if not names:
        raise NothingChosenError
    if len(names) > MOST_CHOSEN:
        raise TooManyChosenError(most=MOST_CHOSEN)
    query = select(Conversation).where(Conversation.public_id.in_(names), Conversation.user_id == user_id)
    query = query.where(alive() if which is None else which)
    # Always in the same order, so that two changes of the same ones do not wait for each other.
    ordered = query.order_by(Conversation.id).with_for_update()
    found = db.session.scalars(ordered.execution_options(populate_existing=True)).all()
    if not found:
        raise ConversationGoneError
    for each in found:
        must_be_kept(each)
    return found


def must_be_kept(conversation: Conversation) -> None:
    """Raises TemporaryChatError for a conversation that is to leave nothing behind."""
    if conversation.expires_at is not None:
        raise TemporaryChatError


def change(
    user: User, names: Sequence[str], verb: str, which: ColumnElement[bool] | None = None, **values: Any
) -> Undo:
    """Set columns of the user's conversations of those names, and say how to undo it. Raises what `hold` raises."""
    user_id = user.id
    with write():
        rows = hold(user_id, names, which)
        before = [undos.kept(row, *values) for row in rows]
        for row in rows:
            for name, value in values.items():
                setattr(row, name, value)
        return undos.record(user_id, verb, before)


def pin(user: User, names: Sequence[str], pinned: bool = True) -> Undo:
    """Keep conversations at the top of the list, or no longer. Raises what `hold` raises."""
    return change(user, names, "pin" if pinned else "unpin", pinned=pinned)


def archive(user: User, names: Sequence[str], archived: bool = True) -> Undo:
    """Keep conversations out of the list, or take them back into it. Raises what `hold` raises."""
    return change(user, names, "archive" if archived else "unarchive", archived_at=now() if archived else None)


def rename(conversation: Conversation, title: str) -> Undo:
    """Give the conversation another title. Raises EmptyTitleError, TitleTooLongError or ConversationGoneError."""
    title = tidy(title)
    if not title:
        raise EmptyTitleError
    if len(title) > TITLE_CHARS:
        raise TitleTooLongError(most=TITLE_CHARS)
    return change(conversation.user, [conversation.public_id], "rename", title=title)


def tidy(line: str) -> str:
    """A text as one line: no control characters, and single spaces."""
    return " ".join("".join(c if unicodedata.category(c)[0] != "C" else " " for c in line).split())


def touch(conversation: Conversation, moment: datetime | None = None) -> None:
    """Note that the user wrote in the conversation just now, or at a moment, in the write under way.

    It moves in the list, and in the lists of its tags, which keep the moment too.
    """
    conversation.updated_at = moment or now()
    if conversation.expires_at is not None:
        conversation.expires_at = conversation.updated_at + LIFE
    marks = update(ConversationTag).where(ConversationTag.conversation_id == conversation.id)
    db.session.execute(marks.values(updated_at=conversation.updated_at))


def destroy(conversation: Conversation) -> None:
    """Delete the conversation and all that is in it for good; a second time does nothing."""
    conversation_id, user_id = conversation.id, conversation.user_id
    with write() as session:
        session.execute(delete(Conversation).where(Conversation.id == conversation_id, Conversation.user_id == user_id))


def _cursor(row: Conversation) -> str:
    return (PINNED if row.pinned else "") + cursor(row.updated_at, row.id)
