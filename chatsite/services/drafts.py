"""What is being typed and was not sent: kept with its conversation, or with its user for one that has not begun.

Whoever types last wins. A page that has nothing in its box does not erase what was typed elsewhere meanwhile, and what
was sent already is not kept when it arrives late.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import select

from chatsite.database import db, write
from chatsite.errors import DraftTooLongError
from chatsite.models import Conversation, Message, User
from chatsite.services import conversations
from chatsite.services.texts import line_ends

# A draft may be longer than what can be sent: it is not finished.
MOST_MESSAGES = 2


def of(owner: Conversation | User | None) -> str:
    """What was typed last and not sent, in a conversation or, by a user, in one that has not begun."""
    return (owner.draft or "") if owner else ""


def edition(text: str) -> str:
    """A short name for a text, by which a page says what it believes to be kept; empty for an empty one."""
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""


def save(owner: Conversation | User, text: str, known: str, token: str, message_chars: int) -> str:
    """Keep what is being typed; returns the edition that the page knows from now on.

    `known` is the one that it was made with, or that its last save gave it; `token` names the page's form. Raises
    DraftTooLongError and ConversationGoneError.
    """
    text = line_ends(text).replace("\x00", "")
    if len(text) > MOST_MESSAGES * message_chars:
        raise DraftTooLongError
    kept = of(owner)
    if not text.strip() and edition(kept) != known:
        return known
    if text == kept:
        return edition(kept)
    talk = owner.id if isinstance(owner, Conversation) else None
    user_id = owner.user_id if isinstance(owner, Conversation) else owner.id
    with write() as session:
        found = conversations.lock(talk, user_id) if talk else session.get_one(User, user_id)
        if not _was_sent(user_id, talk, token):
            found.draft = text or None
        return edition(text)


def take(owner: Conversation | User, text: str, known: str) -> None:
    """Keep no draft of a text that is sent, in the write under way.

    What was typed elsewhere meanwhile stays: it is neither the edition `known` to the page that sent the text, nor the
    beginning of the text.
    """
    kind = type(owner)
    kept = db.session.scalar(select(kind.draft).where(kind.id == owner.id)) or ""
    if edition(kept) == known or text.startswith(kept.strip()):
        owner.draft = None


def _was_sent(user_id: int, conversation_id: int | None, token: str) -> bool:
    """Whether the form was sent already; its text may still arrive, by a request that was on its way."""
    if not token:
        return False
    begun = select(Conversation.id).where(Conversation.user_id == user_id, Conversation.client_token == token)
    asked = select(Message.id).where(Message.conversation_id == conversation_id, Message.client_token == token)
    return db.session.scalar(asked if conversation_id else begun) is not None
