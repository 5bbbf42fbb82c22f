"""Temporary chats: only their address leads to them, they are never listed, and nothing of them is kept.

`expires_at` makes a conversation temporary. It lies an hour after the last message (`conversations.touch`), and is
brought forward when the page is left. From then on the conversation counts as missing, and the cleanup task deletes it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, select

from chatsite.database import WriteSession, db, truncate_wal, vacuum_database, write_transaction
from chatsite.errors import NotTemporaryError
from chatsite.models import Conversation, Message, WaitingMessage
from chatsite.models.conversation import new_public_id
from chatsite.services import leases
from chatsite.services.chat import conversations
from chatsite.services.pagination import BATCH_SIZE

# Long enough for a page that is reloaded, and for the next presence request of another tab with the same page.
LEAVE_GRACE = timedelta(seconds=90)
DEFAULT_BATCH_SIZE = 20


def extend_lifetime(conversation: Conversation) -> None:
    """Renew the lifetime of a temporary chat that a user looks at: to an hour after its last message.

    Does nothing to a permanent conversation. Raises ConversationNotFoundError.
    """
    full_expiry = conversation.updated_at + conversations.TEMPORARY_LIFETIME
    if conversation.expires_at not in {None, full_expiry}:
        _set_expiry(conversation, full_expiry)


def expire_soon(conversation: Conversation) -> None:
    """Shorten the lifetime of a temporary chat whose page was left to LEAVE_GRACE, unless the page comes back.

    Does nothing to a permanent conversation. Raises ConversationNotFoundError.
    """
    if conversation.expires_at is None:
        return
    grace_end = leases.read_time() + LEAVE_GRACE
    if conversation.expires_at > grace_end:
        _set_expiry(conversation, grace_end)


def make_permanent(conversation: Conversation) -> None:
    """Turn a temporary chat into a permanent conversation. Raises ConversationNotFoundError."""
    _set_expiry(conversation, None)


def delete_now(conversation: Conversation) -> None:
    """Delete the contents of a temporary chat at once; the cleanup task deletes the empty row later.

    Raises NotTemporaryError for a permanent conversation, or ConversationNotFoundError.
    """
    if conversation.expires_at is None:
        raise NotTemporaryError
    conversation_id, user_id = conversation.id, conversation.user_id
    with write_transaction() as tx:
        _delete_contents(tx, conversations.lock(tx, conversation_id, user_id))
    truncate_wal()


def delete_expired(max_conversations: int = DEFAULT_BATCH_SIZE) -> bool:
    """Delete up to `max_conversations` expired temporary chats. Returns whether there may be more to delete.

    The rows stay, emptied, until the database file was rewritten without their contents: a cleanup that could not do
    so, or died before, is then repeated.
    """
    has_expired = Conversation.expires_at <= leases.current_time()
    expired = select(Conversation.id).where(has_expired).order_by(Conversation.expires_at)
    ids = db.session.scalars(expired.limit(max_conversations)).all()
    if not all(_empty_if_expired(conversation_id) for conversation_id in ids):
        return True
    # An open read transaction, such as the one of the query above, would prevent the truncation of the WAL.
    db.session.rollback()
    if not ids or not vacuum_database():
        return False
    with write_transaction() as tx:
        gone = delete(Conversation).where(Conversation.id.in_(ids), Conversation.expires_at <= leases.current_time())
        tx.execute(gone.execution_options(synchronize_session=False))
    return len(ids) == max_conversations


def _empty_if_expired(conversation_id: int) -> bool:
    """Delete a batch of the contents of an expired conversation. Returns whether none of its messages are left."""
    with write_transaction() as tx:
        has_expired = Conversation.expires_at <= leases.current_time()
        query = select(Conversation).where(Conversation.id == conversation_id, has_expired)
        conversation = tx.scalar(query.with_for_update().execution_options(populate_existing=True))
        return _delete_contents(tx, conversation) if conversation else True


def _delete_contents(tx: WriteSession, conversation: Conversation) -> bool:
    """Delete the newest messages and all texts of a conversation, and expire it. Returns whether no messages are left.

    The row gets a new public id, so that the old address does not stay in the database either.
    """
    # Newest first: the foreign key keeps a message from being deleted before the ones below it.
    newest = select(Message.id).where(Message.conversation_id == conversation.id).order_by(Message.id.desc())
    ids = tx.scalars(newest.limit(BATCH_SIZE)).all()
    tx.execute(delete(Message).where(Message.id.in_(ids)).execution_options(synchronize_session=False))
    waiting = delete(WaitingMessage).where(WaitingMessage.conversation_id == conversation.id)
    tx.execute(waiting.execution_options(synchronize_session=False))
    conversation.title, conversation.draft_text, conversation.active_leaf_id, conversation.idempotency_key = (
        "",
        None,
        None,
        None,
    )
    conversation.persona, conversation.instructions, conversation.generation_options = None, None, None
    conversation.public_id = new_public_id()
    now = leases.read_time()
    conversation.expires_at = min(conversation.expires_at or now, now)
    return len(ids) < BATCH_SIZE


def _set_expiry(conversation: Conversation, expires_at: datetime | None) -> None:
    conversation_id, user_id = conversation.id, conversation.user_id
    with write_transaction() as tx:
        row = conversations.lock(tx, conversation_id, user_id)
        if row.expires_at is not None:
            row.expires_at = expires_at
