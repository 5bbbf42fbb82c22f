"""Long conversations that are stored in part: hidden until they are complete, and deleted if nobody completes them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select, update

from chatsite.database import WriteSession
from chatsite.models import Conversation, Message
from chatsite.services import leases
from chatsite.services.transfer.formats.native import PARTIAL_PREFIX

BATCH_SIZE = 400
# An incomplete conversation is stored with `expires_at`: no list or search shows it, and it is deleted if no runner
# completes it.
PARTIAL_LIFETIME = timedelta(hours=1)


def hidden_values(partial_marker: str) -> dict[str, Any]:
    """Return the columns that hide a conversation, and by which `delete_batch` finds it again."""
    return {"import_source_id": PARTIAL_PREFIX + partial_marker, "expires_at": leases.read_time() + PARTIAL_LIFETIME}


def delete_batch(tx: WriteSession, user_id: int, partial_marker: str) -> bool:
    """Delete a batch of a conversation that was stored in part. Returns whether there was anything to delete.

    Afterwards its public ids are free, so that the same conversation can be imported again.
    """
    conversation_id = tx.scalar(_where_partial(select(Conversation.id), user_id, partial_marker))
    if conversation_id is None:
        return False
    # Newest first: the foreign key keeps a message from being deleted before the ones below it.
    last_messages = (
        select(Message.id)
        .where(Message.conversation_id == conversation_id)
        .order_by(Message.id.desc())
        .limit(BATCH_SIZE)
    )
    ids = tx.scalars(last_messages).all()
    model, condition = (Message, Message.id.in_(ids)) if ids else (Conversation, Conversation.id == conversation_id)
    tx.execute(delete(model).where(condition).execution_options(synchronize_session=False))
    return True


def expire(tx: WriteSession, user_id: int, partial_marker: str) -> None:
    """Hand an unfinished import over to the cleanup task, which deletes it in small steps.

    Clears its marker and sets `expires_at` to now.
    """
    expire = _where_partial(update(Conversation), user_id, partial_marker).values(
        import_source_id=None, expires_at=leases.current_time()
    )
    tx.execute(expire.execution_options(synchronize_session=False))


def _where_partial(statement: Any, user_id: int, partial_marker: str) -> Any:
    return statement.where(
        Conversation.user_id == user_id, Conversation.import_source_id == PARTIAL_PREFIX + partial_marker
    )
