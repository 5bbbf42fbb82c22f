"""Temporary conversations: they are at their own address and nowhere else, and nothing of them stays.

`expires_at` makes a conversation temporary. It is an hour after the last word (`conversations.touch`), and comes near
when the page is left. From that moment on the conversation is gone for everybody, and the next sweep deletes it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, select

from chatsite.database import db, now, rewrite, scrub, write
from chatsite.errors import NotTemporaryError
from chatsite.models import Conversation, Message
from chatsite.models.conversation import public_id
from chatsite.services import conversations
from chatsite.services.paging import BATCH

# A page that is loaded again comes back within this, and so does the next look of one that is open in another tab.
GRACE = timedelta(seconds=90)
FEW = 20


def stay(conversation: Conversation) -> None:
    """Somebody looks at the conversation: it lasts until an hour after its last word. An ordinary one stays as it is.

    Raises ConversationGoneError.
    """
    usual = conversation.updated_at + conversations.LIFE
    if conversation.expires_at not in {None, usual}:
        _move(conversation, usual)


def leave(conversation: Conversation) -> None:
    """The page was left: unless it comes back, the conversation is over soon. An ordinary one stays as it is.

    Raises ConversationGoneError.
    """
    soon = now() + GRACE
    if conversation.expires_at is not None and conversation.expires_at > soon:
        _move(conversation, soon)


def keep(conversation: Conversation) -> None:
    """Make it an ordinary conversation. Raises ConversationGoneError."""
    _move(conversation, None)


def close(conversation: Conversation) -> None:
    """Delete what is in the conversation here and now; the next sweep takes away the empty row that is left.

    Raises NotTemporaryError for an ordinary one, and ConversationGoneError.
    """
    if conversation.expires_at is None:
        raise NotTemporaryError
    conversation_id, user_id = conversation.id, conversation.user_id
    with write():
        _empty(conversations.lock(conversation_id, user_id))
    scrub()


def sweep(most: int = FEW) -> bool:
    """Delete up to `most` temporary conversations whose time is over; returns whether there is more to delete.

    Their empty rows stay until no file holds anything of them any more, so that a sweep that could not see to that, or
    did not live to do so, is followed by one that can.
    """
    over = select(Conversation.id).where(Conversation.expires_at <= now()).order_by(Conversation.expires_at)
    ids = db.session.scalars(over.limit(most)).all()
    if not all(_empty_if_over(conversation_id) for conversation_id in ids):
        return True
    # A reader of an older state would keep the log from being emptied, and this one just read.
    db.session.rollback()
    if not ids or not rewrite():
        return False
    with write() as session:
        session.execute(delete(Conversation).where(Conversation.id.in_(ids), Conversation.expires_at <= now()))
    return len(ids) == most


def _empty_if_over(conversation_id: int) -> bool:
    with write() as session:
        query = select(Conversation).where(Conversation.id == conversation_id, Conversation.expires_at <= now())
        found = session.scalar(query.with_for_update().execution_options(populate_existing=True))
        return _empty(found) if found else True


def _empty(conversation: Conversation) -> bool:
    """Delete what was written in a conversation and in its settings, and end it, in the write under way.

    Its row gets another name, since the old one is gone with everything else. Of many messages only the newest are
    deleted; returns whether these were all.
    """
    # Newest first: the database lets no message be left behind without the one above it.
    newest = select(Message.id).where(Message.conversation_id == conversation.id).order_by(Message.id.desc())
    ids = db.session.scalars(newest.limit(BATCH)).all()
    db.session.execute(delete(Message).where(Message.id.in_(ids)).execution_options(synchronize_session=False))
    conversation.title, conversation.draft, conversation.leaf_id, conversation.client_token = "", None, None, None
    conversation.persona, conversation.instructions, conversation.numbers = None, None, None
    conversation.public_id = public_id()
    conversation.expires_at = min(conversation.expires_at or now(), now())
    return len(ids) < BATCH


def _move(conversation: Conversation, end: datetime | None) -> None:
    conversation_id, user_id = conversation.id, conversation.user_id
    with write():
        found = conversations.lock(conversation_id, user_id)
        if found.expires_at is not None:
            found.expires_at = end
