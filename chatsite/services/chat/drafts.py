"""Drafts: typed text that was not sent, kept with its conversation, or with its user before a conversation starts.

The last save wins. A page with an empty box does not erase what was typed in another tab, and a save that arrives after
the text was sent is ignored.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import select

from chatsite.database import WriteSession, db, write_transaction
from chatsite.errors import DraftTooLongError
from chatsite.models import Conversation, Message, User, Visitor, WaitingMessage
from chatsite.services.chat import conversations
from chatsite.services.text import clean_text, normalize_newlines

# A draft may be longer than a message: its author may still shorten it.
MAX_DRAFT_MESSAGES = 2


def get_text(owner: Conversation | Visitor) -> str:
    """Return the draft of a conversation, or a user's draft for a new conversation; empty if there is none."""
    return owner.draft_text or ""


def fingerprint(text: str) -> str:
    """Return 16 hexadecimal digits that identify a text as the version of a draft; empty for an empty text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""


def save(
    owner: Conversation | User, text: str, base_version: str, *, idempotency_key: str, max_message_chars: int
) -> str:
    """Store a draft, and return its version (`fingerprint`), with which the page makes its next save.

    `base_version` is the version that the page was filled with, or that its last save returned. `idempotency_key` is
    the key of the page's form: if that form was sent, the draft is not stored. Raises DraftTooLongError if the text has
    more than twice `max_message_chars` characters, or ConversationNotFoundError.
    """
    text = normalize_newlines(text).replace("\x00", "")
    if len(text) > MAX_DRAFT_MESSAGES * max_message_chars:
        raise DraftTooLongError
    stored_text = get_text(owner)
    if not text.strip() and fingerprint(stored_text) != base_version:
        return base_version
    if text == stored_text:
        return fingerprint(stored_text)
    conversation_id = owner.id if isinstance(owner, Conversation) else None
    user_id = owner.user_id if isinstance(owner, Conversation) else owner.id
    with write_transaction() as tx:
        row = conversations.lock(tx, conversation_id, user_id) if conversation_id else tx.get_one(User, user_id)
        if not _was_sent(user_id, conversation_id, idempotency_key):
            row.draft_text = text or None
        return fingerprint(text)


def clear_if_sent(tx: WriteSession, owner: Conversation | User, text: str, *, base_version: str) -> None:
    """Delete the draft of a conversation or a user when its text was sent.

    Keep it if another tab changed it: that is, if its fingerprint differs from `base_version` and it is not a prefix of
    the sent text.
    """
    model = type(owner)
    stored_text = tx.scalar(select(model.draft_text).where(model.id == owner.id)) or ""
    if fingerprint(stored_text) == base_version or text.startswith(clean_text(stored_text)):
        owner.draft_text = None


def _was_sent(user_id: int, conversation_id: int | None, idempotency_key: str) -> bool:
    """Return whether the form with this key was sent, or waits: a late save of its draft may still arrive."""
    if not idempotency_key:
        return False
    started_conversation = select(Conversation.id).where(
        Conversation.user_id == user_id, Conversation.idempotency_key == idempotency_key
    )
    sent_message = select(Message.id).where(
        Message.conversation_id == conversation_id, Message.idempotency_key == idempotency_key
    )
    waiting_message = select(WaitingMessage.conversation_id).where(
        WaitingMessage.conversation_id == conversation_id, WaitingMessage.idempotency_key == idempotency_key
    )
    sent = sent_message.union_all(waiting_message) if conversation_id else started_conversation
    return db.session.scalar(sent) is not None
