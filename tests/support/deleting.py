"""Delete a conversation at once, as the trash and the cleanup task do after a while."""

from __future__ import annotations

from sqlalchemy import delete

from chatsite.database import write_transaction
from chatsite.models import Conversation


def destroy(conversation: Conversation) -> None:
    """Delete a conversation with everything in it for good. Do nothing if it does not exist."""
    conversation_id = conversation.id
    with write_transaction() as session:
        session.execute(delete(Conversation).where(Conversation.id == conversation_id))
