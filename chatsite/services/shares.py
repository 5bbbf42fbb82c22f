"""Shares: pages of one branch that whoever knows their address may read, and what their owner does with them.

A visitor gets a `Reading`, which holds words and nothing that leads to a row of the owner's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, delete, select, update
from sqlalchemy.orm import contains_eager, defer

from chatsite.database import db, now, write
from chatsite.errors import (
    LifetimeUnknownError,
    NotFoundError,
    NothingToShareError,
    ShareRunningError,
    ShareTooLongError,
)
from chatsite.models import Conversation, Generation, Message, Role, Share, Status, User
from chatsite.services import branches, conversations
from chatsite.services.paging import Page, cursor, parse_cursor

PAGE_SIZE = 60
LIST_SIZE = 20
TOKEN_CHARS = 64
# A stranger's copy is one write, and nobody else writes meanwhile.
MOST_COPIED_PAGES = 100
LIFETIMES = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30), "never": None}


@dataclass(frozen=True)
class Line:
    """One message as a visitor reads it; `model` is who answered, None for a question."""

    role: Role
    text: str
    model: str | None
    written_at: datetime


@dataclass(frozen=True)
class Reading:
    """One page of a share, the `number`th of `count`."""

    title: str
    taken_at: datetime
    lines: Sequence[Line]
    number: int
    count: int


def create(conversation: Conversation, lifetime: str = "never", leaf: Message | None = None) -> Share:
    """Share the branch of `leaf` down to it, or else the branch that is shown, for a lifetime of `LIFETIMES`.

    Raises LifetimeUnknownError, ConversationGoneError, TemporaryChatError, ShareRunningError while its last answer is
    being written, and NothingToShareError.
    """
    conversation_id, user_id, leaf_id = conversation.id, conversation.user_id, leaf.id if leaf else None
    with write() as session:
        found = conversations.lock(conversation_id, user_id)
        conversations.must_be_kept(found)
        share = Share(user_id=user_id, conversation_id=conversation_id, expires_at=_end(lifetime))
        _take(share, found, leaf_id or found.leaf_id)
        session.add(share)
        return share


def renew(share: Share) -> Share:
    """Have the share show the branch that its conversation shows now. Raises what `create` and `get` raise."""
    name, conversation_id, user_id = share.public_id, share.conversation_id, share.user_id
    with write():
        conversation = conversations.lock(conversation_id, user_id)
        found = _own(user_id, name)
        _take(found, conversation, conversation.leaf_id)
        return found


def extend(share: Share, lifetime: str) -> Share:
    """Have the share end so long from now on. Raises LifetimeUnknownError, and NotFoundError once it was revoked."""
    name, user_id = share.public_id, share.user_id
    with write():
        found = _own(user_id, name)
        found.expires_at = _end(lifetime)
        return found


def revoke(share: Share) -> None:
    """End the share at once and for good; a second time does nothing."""
    share_id = share.id
    with write() as session:
        session.execute(delete(Share).where(Share.id == share_id))


def is_over(share: Share) -> bool:
    """Whether the time of the share is over."""
    return share.expires_at is not None and share.expires_at <= now()


def get(user: User | None, public_id: str) -> Share:
    """The user's share of that name, also one whose time is over. Raises NotFoundError."""
    if user is None:
        raise NotFoundError
    return _own(user.id, public_id)


def page(
    user: User, before: str | None = None, conversation: Conversation | None = None, size: int = LIST_SIZE
) -> Page[Share]:
    """The user's shares, or those of one conversation, the newest first.

    `before` is the `next` of the page before. Raises NotFoundError when it is not a cursor.
    """
    query = _alive().where(Share.user_id == user.id).options(defer(Share.leaf_text), defer(Share.pages))
    if conversation:
        query = query.where(Share.conversation_id == conversation.id)
    if before:
        query = query.where(Share.id < parse_cursor(before)[1])
    rows = db.session.scalars(query.order_by(Share.id.desc()).limit(size + 1)).all()
    more = len(rows) > size
    rows = rows[:size]
    return Page(rows, cursor(rows[-1].created_at, rows[-1].id) if more else None)


def read(public_id: str, number: int = 1) -> Reading:
    """A page of the share of that name, for whoever asks. Raises NotFoundError, also when its time is over."""
    share = _open(public_id)
    if not 1 <= number <= len(share.pages):
        raise NotFoundError
    above = share.pages[number - 2] if number > 1 else 0
    # A message has a greater id than those above it.
    ids = [found for found in branches.ancestors(share.pages[number - 1], PAGE_SIZE) if found > above]
    return Reading(share.title, share.updated_at, _lines(share, ids), number, len(share.pages))


def copy(user: User, public_id: str, client_token: str = "") -> Conversation:
    """A conversation of `user` that begins with what the share shows, and knows nothing else of its owner's.

    `client_token` names the form: the same one again gives the same copy back. Raises NotFoundError and
    ShareTooLongError.
    """
    user_id, client_token = user.id, client_token[:TOKEN_CHARS]
    with write() as session:
        share = _open(public_id)
        made = _copied(user_id, client_token)
        if made:
            return made
        if len(share.pages) > MOST_COPIED_PAGES:
            raise ShareTooLongError
        made = branches.copy(user, session.get_one(Message, share.leaf_id), share.title, with_receipts=False)
        made.client_token = client_token or None
        # What the owner chose and what became of the last answer since are not on the page.
        made.model, made.preset = share.leaf_model, None
        _end_as_shared(made, share)
        return made


def _end_as_shared(made: Conversation, share: Share) -> None:
    mine = select(Message.id).where(Message.conversation_id == made.id)
    values = update(Generation).execution_options(synchronize_session=False)
    db.session.execute(values.where(Generation.message_id.in_(mine)).values(error=None))
    last = {"status": Status.DONE, "model": share.leaf_model, "finish_reason": None, "takes_over": False}
    db.session.execute(values.where(Generation.message_id == made.leaf_id).values(last))
    db.session.execute(update(Message).where(Message.id == made.leaf_id).values(text=share.leaf_text))


def _take(share: Share, conversation: Conversation, leaf_id: int | None) -> None:
    """Have the share hold the branch down to a message as it is now; an answer without a word is left out."""
    leaf = db.session.get(Message, leaf_id, populate_existing=True) if leaf_id else None
    if leaf and leaf.conversation_id != conversation.id:
        raise NotFoundError
    if leaf and leaf.active:
        raise ShareRunningError
    if leaf and not leaf.text:
        leaf = db.session.get(Message, leaf.parent_id) if leaf.parent_id else None
    if leaf is None:
        raise NothingToShareError
    ids = branches.ancestors(leaf.id)[::-1]
    share.leaf_id, share.leaf_text = leaf.id, leaf.text
    share.leaf_model = leaf.generation.model if leaf.generation else None
    share.pages = [*ids[PAGE_SIZE - 1 : -1 : PAGE_SIZE], leaf.id]
    share.title, share.updated_at = conversation.title, now()


def _lines(share: Share, ids: Sequence[int]) -> Sequence[Line]:
    query = (
        select(Message.id, Message.role, Message.text, Generation.model, Message.created_at)
        .outerjoin(Generation, (Generation.message_id == Message.id) & Generation.newest)
        .where(Message.id.in_(ids))
        .order_by(Message.id)
    )
    return [
        Line(row.role, share.leaf_text, share.leaf_model, row.created_at)
        if row.id == share.leaf_id
        else Line(row.role, row.text, row.model, row.created_at)
        for row in db.session.execute(query)
    ]


def _own(user_id: int, public_id: str) -> Share:
    query = _alive().where(Share.public_id == public_id, Share.user_id == user_id)
    found = db.session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise NotFoundError
    return found


def _open(public_id: str) -> Share:
    """The share of that name if it may be read now. Raises NotFoundError."""
    query = _alive().where(Share.public_id == public_id, _in_time())
    found = db.session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise NotFoundError
    return found


def _alive() -> Select[Share]:
    """Shares with their conversations, but for those in the trash."""
    return (
        select(Share).join(Share.conversation).options(contains_eager(Share.conversation)).where(conversations.alive())
    )


def _in_time() -> ColumnElement[bool]:
    return Share.expires_at.is_(None) | (Share.expires_at > now())


def _end(lifetime: str) -> datetime | None:
    if lifetime not in LIFETIMES:
        raise LifetimeUnknownError
    length = LIFETIMES[lifetime]
    return now() + length if length else None


def _copied(user_id: int, client_token: str) -> Conversation | None:
    """The conversation that this form made, if it did."""
    if not client_token:
        return None
    return db.session.scalar(
        select(Conversation).where(Conversation.user_id == user_id, Conversation.client_token == client_token)
    )
